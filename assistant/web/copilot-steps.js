/* Next steps with their reasons; for collections, whether a contact may be made now. */

import { badge, button, clauseBody, tried } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

/** Ways in which a collector may contact somebody. */
const CHANNELS = ["phone", "sms", "wechat", "email"];
const RECIPIENTS = ["borrower", "third_party", "guarantor"];

/** act: {script(id), again()}. */
export function stepsView(host, act) {
  const { t } = host;
  const list = build("ol", { class: "steps" });
  const tone = build("ul", { class: "tone small" });
  const option = (value, text) => build("option", { value }, text);
  const channel = build("select", { "aria-label": t("contact.channel") }, option("", t("contact.none")), ...CHANNELS.map((each) => option(each, t(`channel.${each}`))));
  const recipient = build("select", { "aria-label": t("contact.recipient") }, ...RECIPIENTS.map((each) => option(each, t(`recipient.${each}`))));
  const calls = build("input", { type: "number", min: "0", max: "1000", "aria-label": t("contact.calls"), placeholder: t("contact.calls") });
  const contact = build("div", { class: "contact row", hidden: true }, channel, recipient, calls);
  const node = build("section", { class: "next", "aria-label": t("next.steps") }, build("h3", {}, t("next.steps")), contact, list, tone);
  for (const control of [channel, recipient, calls]) control.addEventListener("change", act.again);

  function source(one) {
    const kind = badge("plain", t(`source.${one.kind}`));
    const line = build("li", {}, kind, " ", one.where ? `${one.where} ` : "", one.rule ? build("code", {}, one.rule) : "", " ", build("span", {}, one.text));
    if (one.internal) line.append(" ", badge("stale", t("internal")));
    if (one.clause_id) {
      const place = build("div");
      const open = button(t("clause.open"), { class: "quiet", "aria-expanded": "false" }, () =>
        tried(host, place, async () => {
          const shut = place.firstChild;
          open.setAttribute("aria-expanded", String(!shut));
          if (shut) {
            place.replaceChildren();
            return;
          }
          const clause = await host.call(`/v1/copilot/clauses/${one.clause_id.split("/").map(encodeURIComponent).join("/")}`);
          place.replaceChildren(clauseBody(host, clause));
        }),
      );
      line.append(open, place);
    }
    return line;
  }

  function when(iso) {
    const dated = iso.length === 10;
    const form = dated ? { dateStyle: "medium", timeZone: "UTC" } : { dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Shanghai" };
    return new Intl.DateTimeFormat(host.locale, form).format(new Date(dated ? `${iso}T00:00:00Z` : iso));
  }

  function step(action) {
    const about = build("ul", { class: "small sources" }, ...action.source.map(source));
    return build(
      "li",
      { class: "step-line", "data-action": action.id, "data-allowed": String(action.allowed) },
      build(
        "div",
        { class: "between" },
        build("strong", {}, action.title, " ", action.allowed ? "" : badge("failed", t("not_now"))),
        action.script ? button(t("use_script"), { class: "quiet" }, () => act.script(action.script)) : "",
      ),
      build("p", { class: "small" }, action.reason, action.due_at ? ` ${t("due", { time: when(action.due_at) })}` : ""),
      action.why_not ? build("p", { class: "small why-not" }, action.why_not) : "",
      action.source.length ? build("details", {}, build("summary", { class: "small" }, t("sources", { count: action.source.length })), about) : "",
    );
  }

  return {
    node,
    draw(found) {
      list.replaceChildren(...found.actions.map(step));
      if (!found.actions.length) list.append(build("li", { class: "small" }, t("next.none")));
      tone.replaceChildren(...found.tone.map((text) => build("li", {}, text)));
    },
    clear() {
      list.replaceChildren();
      tone.replaceChildren();
    },
    collecting(yes) {
      contact.hidden = !yes;
    },
    /** What is known of a contact that may be made; null where none is asked about. */
    contact() {
      if (contact.hidden || !channel.value) return null;
      return { channel: channel.value, recipient: recipient.value, calls_today: calls.value === "" ? null : Number(calls.value) };
    },
  };
}
