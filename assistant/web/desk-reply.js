/* The reply box: what an agent writes is checked by the rules while it is typed. */

import { badge, build, button, call, Failure, locale, select, t } from "./knowledge-kit.js";
import { messageId } from "./live-stream.js";

const PAUSE_MS = 250;
const MOST_CHARACTERS = 2000;
const SIGNS = { block: "failed", fix: "stale", warn: "plain" };

/** Each rule once, with its worst finding first. */
function found(review) {
  const rank = { block: 3, fix: 2, warn: 1 };
  const rules = new Map();
  for (const finding of review.findings) {
    const known = rules.get(finding.rule);
    if (!known || rank[finding.severity] > rank[known.severity]) rules.set(finding.rule, finding);
  }
  return [...rules.values()].sort((a, b) => rank[b.severity] - rank[a.severity]);
}

function findings(review) {
  return build(
    "ul",
    { class: "found" },
    ...found(review).map((finding) =>
      build(
        "li",
        {},
        badge(SIGNS[finding.severity], t(`severity.${finding.severity}`)),
        " ",
        build("strong", { lang: locale === "en" ? "en" : "zh-Hans" }, locale === "en" ? finding.title_en : finding.title),
        " ",
        build("span", { class: "small", lang: "zh-Hans" }, locale === "en" ? finding.suggestion_en || finding.suggestion : finding.suggestion),
      ),
    ),
  );
}

/** The box. me: who is signed in. draft: what was written before one turned to somebody else.
    send(body): posts the message. said(event): it was kept. */
export function replyBox(me, draft, { send, said, told }) {
  const area = build("textarea", { id: "reply", rows: "3", maxlength: MOST_CHARACTERS, "aria-label": t("reply"), "aria-describedby": "reply-check", placeholder: t("reply.hint") });
  const verdict = build("div", { id: "reply-check", class: "reply-check", role: "status" });
  const go = build("button", { class: "strong", "aria-keyshortcuts": "Control+Enter" }, t("send"));
  const more = build("div", { class: "row" });
  const form = build("form", { class: "reply" }, area, build("div", { class: "between" }, verdict, build("div", { class: "row" }, more, go)));
  const supervisor = me.roles.includes("supervisor");
  let waiting = 0;
  let running = new AbortController();
  let id = messageId();

  function show(words, kind = "", ...below) {
    verdict.className = `reply-check ${kind}`;
    verdict.replaceChildren(build("span", {}, words), ...below);
  }

  function offer(blocked) {
    more.replaceChildren();
    if (!blocked) return;
    if (!supervisor) {
      more.append(button(t("hold"), { class: "plain" }, () => post({ hold: true })));
      return;
    }
    const reason = build("input", { "aria-label": t("override.reason"), placeholder: t("override.reason"), maxlength: "200" });
    more.append(
      reason,
      button(t("override"), { class: "plain" }, () => {
        if (reason.value.trim()) post({ override: reason.value.trim() });
        else reason.focus();
      }),
    );
  }

  function judge(review) {
    const list = review.findings.length ? [findings(review)] : [];
    show(t(`check.${review.verdict}`), review.verdict, ...list);
    offer(review.verdict === "block");
  }

  async function check() {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    const text = area.value.trim();
    if (!text) {
      show(t("check.none"));
      offer(false);
      return;
    }
    try {
      const body = { text, task: "agent", channel: "chat", context: { own_platform: true } };
      const review = await call("/v1/check", { method: "POST", body, signal });
      if (!signal.aborted) judge(review);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      show(t("check.failed"));
    }
  }

  async function post(more = {}) {
    const message = area.value.trim();
    if (!message || go.disabled) return;
    clearTimeout(waiting);
    running.abort();
    go.disabled = true;
    try {
      const event = await send({ message, message_id: id, ...more });
      id = messageId();
      area.value = "";
      show(t("check.none"));
      offer(false);
      said(event);
      if (event.kind === "held") told(t("held.done"));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.review) judge(error.review);
      else show(error.message || error.told, "block");
    } finally {
      go.disabled = false;
      area.focus();
    }
  }

  area.addEventListener("input", (event) => {
    id = messageId();
    clearTimeout(waiting);
    if (!event.isComposing) waiting = setTimeout(check, PAUSE_MS);
  });
  area.addEventListener("compositionend", () => {
    clearTimeout(waiting);
    waiting = setTimeout(check, PAUSE_MS);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    post();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    post();
  });
  area.value = draft;
  show(t("check.none"));
  if (draft) check();
  return { node: form, focus: () => area.focus(), draft: () => area.value };
}

/** What a supervisor does with a message that waits. judge(release, reason) posts it. */
export function heldActions(judge) {
  const reason = build("input", { "aria-label": t("override.reason"), placeholder: t("override.reason"), maxlength: "200" });
  const act = (release) => () => {
    if (reason.value.trim()) judge(release, reason.value.trim());
    else reason.focus();
  };
  return build(
    "div",
    { class: "row held-actions" },
    reason,
    button(t("release"), { class: "strong" }, act(true)),
    button(t("refuse"), { class: "plain" }, act(false)),
  );
}

/** Asks with which reason a matter is closed; resolves to it, or to null. */
export function askEnding(endings) {
  const choices = Object.entries(endings).map(([key, words]) => [key, words[locale]]);
  const choice = select([["", t("close.choose")], ...choices], "", { id: "ending" });
  const yes = button(t("close"), { class: "strong", disabled: true });
  choice.addEventListener("change", () => (yes.disabled = !choice.value));
  const no = button(t("cancel"), { class: "plain" });
  const dialog = build(
    "dialog",
    { class: "ask", "aria-labelledby": "ending-title" },
    build("h2", { id: "ending-title" }, t("close.ask")),
    build("label", { for: "ending", class: "unseen" }, t("close.ask")),
    build("p", {}, choice),
    build("div", { class: "row" }, no, yes),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    yes.addEventListener("click", () => dialog.close("yes"));
    no.addEventListener("click", () => dialog.close(""));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? choice.value : null);
    });
    dialog.showModal();
    choice.focus();
  });
}
