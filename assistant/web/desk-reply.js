/* The reply box: what an agent writes is checked by the rules while it is typed. */

import { inUnits, isWhole, moved, pieces, RANK } from "./check-spans.js";
import { badge, build, button, Failure, locale, select, t } from "./knowledge-kit.js";
import { messageId } from "./live-stream.js";

const PAUSE_MS = 150;
const MOST_CHARACTERS = 2000;
/** A macro and the blank after it, at the end of what is written so far. */
const MACRO = /(^|\s)(\/\S+)[ \u3000]$/;
const SIGNS = { block: "failed", fix: "stale", warn: "plain" };

/** Each rule once, with its worst finding first. */
function found(review) {
  const rules = new Map();
  for (const finding of review.findings) {
    const known = rules.get(finding.rule);
    if (!known || RANK[finding.severity] > RANK[known.severity]) rules.set(finding.rule, finding);
  }
  return [...rules.values()].sort((a, b) => RANK[b.severity] - RANK[a.severity]);
}

function article({ source }) {
  return source ? [source.regulation, source.article].filter(Boolean).join(" ") : t("finding.house");
}

/** What stands beneath the words of the text area, with those marked that a rule found. */
function underlay() {
  const node = build("div", { class: "marked", "aria-hidden": "true" });
  let spans = [];
  let shown = "";

  function draw() {
    const nodes = pieces(shown, spans).map(({ text, covered }) => {
      if (!covered.length) return text;
      const worst = covered.reduce((a, b) => (RANK[b.severity] > RANK[a.severity] ? b : a));
      return build("mark", { class: worst.severity }, text);
    });
    // The last line of a text area counts even where it is empty.
    node.replaceChildren(...nodes, "\u200b");
  }

  return {
    node,
    /** After an edit: marks move with their words. */
    follow(text) {
      spans = moved(spans, shown, text);
      shown = text;
      draw();
    },
    mark(findings, text) {
      spans = findings.filter((finding) => !isWhole(finding, text));
      shown = text;
      draw();
    },
  };
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
        build("span", { class: "small", lang: "zh-Hans" }, (locale === "en" && finding.suggestion_en) || finding.suggestion),
        build("span", { class: "small source", lang: "zh-Hans" }, article(finding)),
      ),
    ),
  );
}

/** The box. me: who is signed in. draft: what was written before one turned to somebody else.
    send(body): posts the message. said(event, text, origin): it was kept; origin: the suggestion of
    which it was made, or null. check(text, signal): what the rules say. expand(macro): its text. */
export function replyBox(me, draft, { send, said, told, check: judged, expand }) {
  const area = build("textarea", { id: "reply", rows: "3", maxlength: MOST_CHARACTERS, "aria-label": t("reply"), "aria-describedby": "reply-check", placeholder: t("reply.hint") });
  const verdict = build("div", { id: "reply-check", class: "reply-check", role: "status" });
  const go = build("button", { class: "strong", "aria-keyshortcuts": "Control+Enter" }, t("send"));
  const more = build("div", { class: "row" });
  const marks = underlay();
  const form = build("form", { class: "reply" }, build("div", { class: "sheet" }, build("div", { class: "layers" }, marks.node, area)), build("div", { class: "between" }, verdict, build("div", { class: "row" }, more, go)));
  const supervisor = me.roles.includes("supervisor");
  let waiting = 0;
  let running = new AbortController();
  let id = messageId();
  let origin = null;

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

  function judge(review, text) {
    marks.mark(inUnits(review.findings, text), text);
    const list = review.findings.length ? [findings(review)] : [];
    show(t(`check.${review.verdict}`), review.verdict, ...list);
    offer(review.verdict === "block");
  }

  async function check() {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    const text = area.value;
    if (!text.trim()) {
      origin = null;
      show(t("check.none"));
      offer(false);
      return;
    }
    try {
      const review = await judged(text, signal);
      if (!signal.aborted) judge(review, text);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      // A card number is not to be written, and not to be checked either.
      if (error.code === "card_refused") show(error.message, "block");
      else show(t("check.failed"));
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
      const made = origin;
      origin = null;
      area.value = "";
      marks.follow("");
      show(t("check.none"));
      offer(false);
      said(event, message, made);
      if (event.kind === "held") told(t("held.done"));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.review) judge(error.review, area.value);
      else show(error.message || error.told, "block");
    } finally {
      go.disabled = false;
      area.focus();
    }
  }

  /** Writes at the caret, so that it can be undone. */
  function write(text, from, to) {
    area.focus();
    area.setSelectionRange(from, to);
    if (document.execCommand("insertText", false, text)) return;
    area.setRangeText(text, from, to, "end");
    area.dispatchEvent(new Event("input"));
  }

  function macro() {
    const before = area.value.slice(0, area.selectionStart);
    const [, , name] = MACRO.exec(before) ?? [];
    const text = name && expand(name);
    if (!text) return false;
    write(text, before.length - name.length - 1, before.length);
    origin = { text, suggestion_id: "", variant: "script" };
    return true;
  }

  function insert(made) {
    // Another form of what was inserted and not touched since takes its place.
    const untouched = origin && area.value === origin.text;
    if (untouched) write(made.text, 0, area.value.length);
    else write(made.text, area.selectionStart, area.selectionEnd);
    if (area.value.trim() === made.text.trim() || !origin) origin = made;
    told(t("inserted"));
  }

  area.addEventListener("input", (event) => {
    id = messageId();
    marks.follow(area.value);
    clearTimeout(waiting);
    if (event.isComposing || macro()) return;
    waiting = setTimeout(check, PAUSE_MS);
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
  marks.follow(draft);
  show(t("check.none"));
  if (draft) check();
  return { node: form, focus: () => area.focus(), insert, draft: () => area.value };
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
