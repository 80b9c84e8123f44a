/* One draft: edited while the rules look on, submitted, approved or rejected, and its history. */

import {
  announce, badge, build, button, call, confirmed, dayTime, empty, failure, Failure, field, fillWith, linkTo, locale,
  note, query, t,
} from "./knowledge-kit.js";
import { calculation } from "./studio-campaigns.js";
import { findingList, findingTitle } from "./studio-findings.js";
import { phone, sender } from "./studio-phone.js";
import { chipped, locked, templateEditor } from "./studio-editor.js";
import { comparison } from "./studio-versions.js";
import {
  attributeNames, channelName, draftState, facts, link, money, readCampaign, standing, titled, verdictBadge,
} from "./studio-kit.js";

export async function showDraft(place, { parts, signal, heading, me }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const [draft, listed, from] = await Promise.all([
        call(`/v1/drafts/${encodeURIComponent(parts[0] ?? "")}`, { signal }),
        call(`/v1/segments${query({ limit: 100 })}`, { signal }),
        sender(),
      ]);
      const campaign = await readCampaign(draft.campaign, signal).catch((error) => {
        if (error.name === "AbortError" || error.status !== 404) throw error;
        return null;
      });
      return page({ draft, campaign, listed, from, signal, heading, me, held });
    },
    signal,
  );
}

function page(all) {
  const { draft, campaign, listed, from, signal, heading, me, held } = all;
  const attributes = new Map(listed.attributes.map((one) => [one.id, one]));
  const titles = new Map([...(campaign?.segments ?? []), ...listed.segments].map((one) => [one.id, titled(one.title)]));
  const ideas = new Map((campaign?.ideas ?? []).map((one) => [one.id, titled(one.title)]));
  const segment = draft.personalised ? titles.get(draft.segment) ?? draft.segment : t("segment.plain");
  const idea = ideas.get(draft.idea) ?? draft.idea;
  heading.textContent = t("draft.heading", { channel: channelName(draft.channel), number: draft.variant, idea });

  /** Draws another standing of the draft in the place of this one. */
  function renew(next, said) {
    held.replaceChildren(...page({ ...all, draft: next }));
    announce(said);
    heading.focus({ preventScroll: true });
  }

  let posting = false;

  /** Makes a step, one at a time: a second press of the button is none. A draft that somebody
      changed meanwhile is shown as it is now. */
  async function step(name, body, told, method = "POST") {
    if (posting) return false;
    posting = true;
    const path = `/v1/drafts/${draft.id}${method === "PATCH" ? "" : `/${name}`}`;
    told.replaceChildren();
    try {
      const next = await call(path, { method, body: { seen: draft.sha256, ...body }, signal });
      // The page was left while the answer came in: there may be nothing of it.
      if (signal.aborted) return false;
      renew(next, t(`done.${name}`));
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      if (!(error instanceof Failure)) throw error;
      const box = failure(error);
      if (error.status === 409) box.append(button(t("draft.reload"), { class: "plain" }, () => dispatchEvent(new HashChangeEvent("hashchange"))));
      told.replaceChildren(box);
      return false;
    } finally {
      posting = false;
    }
  }

  const preview = build("div", { class: "preview" });
  const findings = build("section", { class: "stacked", id: "findings", "aria-label": t("findings") });
  const mayEdit = draft.may.includes("edit");
  const kind = campaign?.coupons.find((one) => one.id === draft.coupon)?.kind ?? (draft.draw ? "draw" : "");
  const editor = mayEdit ? templateEditor({ draft, login: me.login, kind, signal, shown: look, step }) : null;
  const steps = build("div", { class: "stacked" });
  const answered = draft.history.findLast((one) => one.action === "submitted")?.answers ?? {};

  /** shown: the draft as it is kept, or what a check says of another text. */
  function look(shown, isKept) {
    preview.replaceChildren(phone({ ...shown, channel: draft.channel, locale: draft.locale }, from));
    const nodes = [build("div", { class: "between" }, build("h2", {}, t("findings")), verdictBadge(shown.verdict))];
    if (shown.error) nodes.push(note(t("edit.broken"), "stale"));
    else if (!shown.findings.length) nodes.push(build("p", { class: "small" }, t("findings.none")));
    else {
      const below = ({ rule }) => (isKept && answered[rule] ? [build("p", { class: "answered" }, build("span", { class: "small" }, t("answer.given")), " ", answered[rule])] : []);
      nodes.push(findingList(shown.findings, { jump: editor ? (finding) => editor.go(finding, shown) : null, below }));
    }
    if (shown.unchecked?.length) nodes.push(build("p", { class: "small" }, t("findings.unchecked", { rules: shown.unchecked.map((one) => one.rule).join(t("list.and")) })));
    findings.replaceChildren(...nodes);
    steps.hidden = !isKept;
  }

  steps.append(...stepForms(draft, step));
  look(draft, true);
  editor?.begin();
  const plain = build("section", { class: "stacked" });
  if (draft.personalised) beside(plain, draft, from, signal);
  return [
    link(`#/drafts${query({ campaign: draft.campaign, channel: draft.channel })}`, t("drafts.back")),
    build(
      "section",
      { class: "card stacked" },
      build(
        "div",
        { class: "between" },
        build("p", { class: "row" }, ...standing(draft), draft.personalised ? "" : badge("moved", t("draft.plain")), draft.may_send ? badge("done", t("draft.may_send")) : ""),
        build("a", { class: "as-button plain", href: `/v1/drafts/${draft.id}/sheet${query({ locale })}`, target: "_blank", rel: "noopener" }, t("sheet.open")),
      ),
      ...(draft.lapsed ? [note(t(`lapsed.${draft.lapsed}`), "stale")] : []),
      facts([
        [t("column.campaign"), campaign ? link(linkTo("campaign", campaign.id), titled(campaign.title)) : draft.campaign],
        [t("segment"), segment],
        [t("draft.made"), `${draft.author} · ${t(`made.${draft.made_by}`)}`],
        [t("draft.edited"), draft.version > 1 ? `${draft.editor} · ${dayTime(draft.changed_at)}` : ""],
        [t("draft.version"), t("version.of", { number: draft.version })],
        [t("draft.attributes"), draft.attributes.length ? attributeNames(draft.attributes, attributes) : t("segment.uses.none")],
      ]),
    ),
    build(
      "div",
      { class: "workbench" },
      build("div", { class: "stacked" }, editor ? editor.node : fixed(draft), findings, steps),
      build("div", { class: "stacked looks" }, build("h2", {}, t("preview")), preview, plain),
    ),
    history(draft),
    ...(draft.versions.length > 1 ? [comparison(draft, from)] : []),
    ...offered(draft, campaign),
  ];
}

/** The text where one may not edit it. */
function fixed(draft) {
  return build(
    "section",
    { class: "stacked" },
    build("h2", {}, t("edit.text")),
    draft.subject ? build("p", { class: "said" }, build("strong", {}, ...chipped(draft.subject, draft.slots_known))) : "",
    draft.opening ? locked(draft.opening) : "",
    build("p", { class: "said" }, ...chipped(draft.template, draft.slots_known)),
    draft.closing ? locked(draft.closing) : "",
    note(t(draft.state === "expired" ? "edit.expired" : "edit.forbidden")),
  );
}

/** The alternative that uses nothing of the customer. */
async function beside(place, draft, from, signal) {
  const asked = query({ campaign: draft.campaign, limit: 100 });
  try {
    const { drafts } = await call(`/v1/drafts${asked}`, { signal });
    if (signal.aborted) return;
    const found = drafts.filter((one) => !one.personalised && one.channel === draft.channel && one.locale === draft.locale && !["void", "expired"].includes(one.state));
    const [one] = found.sort((a, b) => Number(b.variant === draft.variant) - Number(a.variant === draft.variant));
    place.replaceChildren(
      build("h2", {}, t("plain.heading")),
      build("p", { class: "small" }, t("plain.about")),
      one ? phone(one, from) : note(t("plain.none"), "stale"),
      ...(one ? [build("p", { class: "row" }, draftState(one), link(linkTo("draft", one.id), t("plain.open")))] : []),
    );
  } catch (error) {
    if (error.name !== "AbortError" && !(error instanceof Failure)) throw error;
  }
}

// Steps

function stepForms(draft, step) {
  const may = (name) => draft.may.includes(name);
  const forms = [];
  if (may("submit")) forms.push(submitForm(draft, step));
  if (may("approve") || may("reject")) forms.push(judgeForm(draft, step));
  if (draft.state === "submitted" && draft.mine && !may("approve")) forms.push(note(t("approve.own")));
  if (draft.state === "draft" && may("edit")) forms.push(note(t("submit.not_yet"), "stale"));
  if (may("withdraw") && (draft.mine || may("edit"))) forms.push(withdrawForm(draft, step));
  return forms;
}

function area(id, rows = "2") {
  return build("textarea", { id, rows, maxlength: "2000" });
}

function submitForm(draft, step) {
  const rules = new Map(draft.findings.map((one) => [one.rule, findingTitle(one)]));
  const answers = new Map([...rules.keys()].map((rule, at) => [rule, build("textarea", { id: `answer-${at}`, rows: "2", maxlength: "500" })]));
  const comment = area("submit-comment");
  const told = build("div");
  const form = build(
    "form",
    { class: "card stacked", id: "submit" },
    build("h2", {}, t("submit.heading")),
    ...(rules.size ? [build("p", { class: "small" }, t("submit.answers"))] : []),
    ...[...answers].map(([rule, box]) => field(t("submit.answer", { title: rules.get(rule) }), box, { class: "field whole" })),
    field(t("comment.optional"), comment, { class: "field whole" }),
    told,
    build("div", { class: "row" }, build("button", { type: "submit", class: "strong" }, t("submit"))),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = Object.fromEntries([...answers].map(([rule, box]) => [rule, box.value.trim()]).filter(([, said]) => said));
    const open = [...answers].find(([rule]) => !given[rule]);
    if (open && !comment.value.trim()) {
      told.replaceChildren(build("p", { class: "note stale", role: "alert" }, t("failed.answer_needed")));
      open[1].focus();
      return;
    }
    step("submit", { comment: comment.value.trim(), answers: given }, told);
  });
  return form;
}

function judgeForm(draft, step) {
  const comment = area("judge-comment", "3");
  const told = build("div");
  const actions = build("div", { class: "row" });
  const asked = draft.history.findLast((one) => one.action === "submitted");
  if (draft.may.includes("approve")) {
    actions.append(
      button(t("approve"), { class: "strong" }, async () => {
        if (await confirmed(t("approve.ask"), t("approve.about"), t("approve"))) step("approve", { comment: comment.value.trim() }, told);
      }),
    );
  }
  if (draft.may.includes("reject")) {
    actions.append(
      button(t("reject"), { class: "plain" }, () => {
        if (comment.value.trim()) return step("reject", { comment: comment.value.trim() }, told);
        told.replaceChildren(build("p", { class: "note stale", role: "alert" }, t("failed.comment_needed")));
        comment.focus();
        return null;
      }),
    );
  }
  return build(
    "section",
    { class: "card stacked", id: "judge" },
    build("h2", {}, t("approve.heading")),
    ...(asked?.comment ? [build("p", {}, build("span", { class: "small" }, t("submit.said", { name: asked.by })), " ", asked.comment)] : []),
    field(t("approve.comment"), comment, { class: "field whole" }),
    told,
    actions,
  );
}

function withdrawForm(draft, step) {
  const told = build("div");
  const go = button(t("withdraw"), { class: "quiet" }, async () => {
    if (await confirmed(t("withdraw.ask"), t("withdraw.about"), t("withdraw"))) step("withdraw", {}, told);
  });
  return build("div", { class: "row" }, go, told);
}

// What it rests on, and what was done to it

function offered(draft, campaign) {
  const found = draft.calculation;
  if (!found?.calculation) return [];
  const titles = new Map((campaign?.coupons ?? []).map((one) => [one.id, titled(one.title)]));
  const others = (found.others ?? []).map((one) => t("coupon.saved", { name: titles.get(one.coupon) ?? one.coupon, amount: money(one.saving_cny) }));
  return [
    build(
      "section",
      { class: "card stacked" },
      build("h2", {}, t("best")),
      build("p", {}, t("best.about", { name: titles.get(found.coupon) ?? found.coupon, amount: money(found.saving_cny) })),
      ...(others.length ? [build("p", { class: "small" }, t("best.others", { others: others.join(t("list.and")) }))] : []),
      calculation(found.calculation),
    ),
  ];
}

function history(draft) {
  if (!draft.history.length) return empty(t("history.none"));
  const list = build("ol", { class: "history" });
  for (const one of draft.history) {
    const lines = [];
    if (one.reason) lines.push(build("p", { class: "small" }, t(`lapsed.${one.reason}`)));
    if (one.comment) lines.push(build("p", { class: "quote" }, one.comment));
    for (const [rule, said] of Object.entries(one.answers)) lines.push(build("p", { class: "quote" }, build("code", {}, rule), " ", said));
    list.append(
      build(
        "li",
        {},
        build(
          "p",
          { class: "row" },
          build("strong", {}, t(`action.${one.action}`)),
          build("span", {}, one.by),
          build("span", { class: "small dates" }, dayTime(one.at)),
          build("span", { class: "small" }, t("version.of", { number: one.version })),
          build("code", { class: "small", title: one.sha256 }, one.sha256.slice(0, 10)),
          one.genuine ? "" : badge("failed", t("history.tampered")),
        ),
        ...lines,
      ),
    );
  }
  return build("section", { class: "card stacked" }, build("h2", {}, t("history")), list);
}
