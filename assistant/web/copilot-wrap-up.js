/* How a conversation is closed: filled in, editable, one key to accept. */

import { badge, button, fault } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

const KINDS = ["pay", "call_back", "send", "look_into", "other"];
const WHO = ["borrower", "agent"];
/** Which ending is proposed first where one of these was spoken of. */
const REGISTERED = ["complaint", "dispute"];

function choice(options, value, attributes) {
  const node = build("select", attributes);
  for (const [key, text] of options) node.append(build("option", { value: key }, text));
  node.value = value;
  return node;
}

function labelled(text, control, attributes = {}) {
  return build("label", { class: "labelled", ...attributes }, build("span", { class: "small" }, text), control);
}

/** Hours and minutes in Asia/Shanghai, as an input of date and time has them. */
function localTime(instant) {
  return instant ? new Date(Date.parse(instant) + 8 * 3_600_000).toISOString().slice(0, 16) : "";
}

/** Asks how it is closed; resolves to what was kept, to "bare" where it shall be closed
    without, or to null. place: where the dialog stands.
    endings: of the desk's plan; none for another desk, which closes by itself. */
export function askWrapUp(host, place, body, endings) {
  const { t } = host;
  const stage = build("div", { class: "wrap-up" }, build("p", { class: "small", role: "status" }, t("waiting")));
  const accept = build("button", { class: "strong", value: "keep", disabled: true, "aria-keyshortcuts": "Control+Enter" }, t("wrap.accept"));
  const cancel = button(t("wrap.cancel"), { class: "plain" });
  const wrong = build("div");
  const form = build(
    "form",
    {},
    build("h2", { id: "wrap-up-title" }, t("wrap")),
    stage,
    wrong,
    build("div", { class: "between" }, build("span", { class: "small" }, t("wrap.keys")), build("span", { class: "row" }, cancel, accept)),
  );
  const dialog = build("dialog", { class: "ask wrap-up-dialog", "aria-labelledby": "wrap-up-title" }, form);
  let read = null;
  let kept = null;

  function promiseRow(promise) {
    const by = choice(WHO.map((who) => [who, t(`by.${who}`)]), promise.by, { "aria-label": t("promise.by") });
    const kind = choice(KINDS.map((each) => [each, t(`promise.${each}`)]), promise.kind, { "aria-label": t("promise.kind") });
    const text = build("input", { value: promise.text, maxlength: "600", "aria-label": t("promise.text"), class: "promise-text" });
    const due = build("input", { type: "date", value: promise.due_on ?? "", "aria-label": t("promise.due") });
    const amount = build("input", { value: promise.amount_cny, inputmode: "decimal", "aria-label": t("promise.amount"), placeholder: t("promise.amount"), class: "amount" });
    const row = build("li", {}, by, kind, text, due, amount, button("×", { class: "quiet", "aria-label": t("promise.remove") }, () => row.remove()));
    row.read = () => ({ by: by.value, kind: kind.value, text: text.value.trim(), due_on: due.value || null, amount_cny: amount.value.trim(), turn: promise.turn ?? null });
    return row;
  }

  function draw(made) {
    const summary = build("textarea", { rows: "5", maxlength: "2000" });
    summary.value = made.summary;
    const reason = choice(Object.entries(made.reasons).map(([id, words]) => [id, words[host.locale] ?? id]), made.reason);
    const proposed = REGISTERED.some((flag) => made.flags[flag]) && "registered" in endings ? "registered" : Object.keys(endings)[0] ?? "";
    const ending = choice(Object.entries(endings).map(([id, words]) => [id, words[host.locale] ?? id]), proposed, { class: "ending" });
    const promises = build("ul", { class: "promises" }, ...made.promises.map(promiseRow));
    const flags = Object.entries(made.flags).map(([flag, on]) => {
      const box = build("input", { type: "checkbox", checked: on, "data-flag": flag });
      return build("label", { class: "tick" }, box, t(`flag.${flag}`));
    });
    const next = made.next_contact;
    const at = build("input", { type: "datetime-local", value: localTime(next.at) });
    const on = build("input", { type: "date", value: next.on ?? "" });
    const why = build("input", { value: next.why, maxlength: "300" });
    const more = button(t("promise.add"), { class: "quiet" }, () => {
      const row = promiseRow({ by: "agent", kind: "call_back", text: "", due_on: "", amount_cny: "" });
      promises.append(row);
      row.querySelector("input").focus();
    });
    stage.replaceChildren(
      build(
        "div",
        { class: "wrap-row" },
        labelled(t("wrap.reason"), reason),
        Object.keys(endings).length ? labelled(t("wrap.ending"), ending) : "",
      ),
      labelled(made.model ? t("wrap.summary.by", { model: made.model }) : t("wrap.summary"), summary),
      build("section", { "aria-label": t("wrap.promises") }, build("div", { class: "between" }, build("span", { class: "small" }, t("wrap.promises")), more), promises),
      build("div", { class: "row flags", role: "group", "aria-label": t("wrap.flags") }, ...flags),
      build("div", { class: "wrap-row" }, labelled(t("wrap.next_at"), at), labelled(t("wrap.next_on"), on), labelled(t("wrap.next_why"), why)),
      next.moved ? build("p", { class: "small moved" }, badge("stale", t("wrap.moved")), " ", next.moved) : "",
    );
    accept.disabled = false;
    accept.focus();
    read = () => ({
      wrap_up: {
        summary: summary.value.trim(),
        reason: reason.value,
        promises: [...promises.children].map((row) => row.read()).filter((one) => one.text),
        flags: Object.fromEntries([...stage.querySelectorAll("[data-flag]")].map((box) => [box.dataset.flag, box.checked])),
        next_contact: {
          at: at.value ? `${at.value}:00+08:00` : null,
          on: (at.value && at.value.slice(0, 10)) || on.value || null,
          why: why.value.trim(),
          moved: "",
        },
        model: summary.value.trim() === made.summary ? made.model : "",
      },
      ending: ending.value || "",
    });
  }

  async function load() {
    try {
      draw(await host.call("/v1/copilot/wrap-up", { method: "POST", body: { ...body, locale: host.locale } }));
    } catch (error) {
      if (!host.isFault(error)) throw error;
      stage.replaceChildren(fault(host, error, load));
      if (Object.keys(endings).length) stage.append(button(t("wrap.bare"), { class: "plain" }, bare));
    }
  }

  /** Closed with a reason alone, where nothing can be drafted or kept. */
  function bare() {
    kept = "bare";
    dialog.close();
  }

  async function keep() {
    if (!read || accept.disabled) return;
    accept.disabled = true;
    try {
      kept = await host.call("/v1/copilot/wrap-up/kept", { method: "POST", body: { ...body, locale: host.locale, ...read() } });
      dialog.close();
    } catch (error) {
      if (!host.isFault(error)) throw error;
      wrong.replaceChildren(build("p", { class: "note stale", role: "alert" }, error.message || error.told));
      accept.disabled = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep();
  });
  form.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || event.isComposing) return;
    if (!(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    keep();
  });
  cancel.addEventListener("click", () => dialog.close());
  place.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(kept);
    });
    dialog.showModal();
    load();
  });
}
