/* The editor of a template: slots are shown as chips, what comes from data is locked, and the rules
   look at every pause. */

import { inUnits } from "./check-spans.js";
import { build, button, call, failure, Failure, field, t } from "./knowledge-kit.js";

const PAUSE_MS = 300;
/** Where an edit waits while the page is left: to look at another draft, or to sign in again. */
const KEPT = "zhunxin:studio-edit:";
const SLOT = /\{[a-z_]+\}/g;

/** Slots that an offer of one kind alone has a value for; those of the second table no draw has. */
const ONLY = { discount: "rate", free_days: "interest_free", cap: "interest_free", amount: "voucher", threshold: "voucher", prizes: "draw", draw: "draw" };
const NOT_OF_DRAWS = ["coupon", "loan", "saving"];

/** A template in nodes, its slots as chips. known: slots that may stand in it. */
export function chipped(text, known) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(SLOT)) {
    const name = found[0].slice(1, -1);
    nodes.push(text.slice(at, found.index), build("span", { class: name in known ? "chip" : "chip unknown" }, found[0]));
    at = found.index + found[0].length;
  }
  return [...nodes, text.slice(at)];
}

/** A text area above a copy of its text, in which slots are marked. */
function layered(area) {
  const marked = build("div", { class: "marked", "aria-hidden": "true" });
  const sheet = build("div", { class: "sheet" }, build("div", { class: "layers" }, marked, area));
  // The last line of a text area counts even where it is empty.
  return { node: sheet, draw: (known) => marked.replaceChildren(...chipped(area.value, known), "\u200b") };
}

/** Place in the template of a place in the sample; null: in what is filled in, or around it. */
export function placeIn(template, values, shown, place) {
  const start = shown.opening && shown.sample.startsWith(shown.opening) ? shown.opening.length : 0;
  let [at, from] = [0, start];
  for (const found of template.matchAll(SLOT)) {
    const words = found.index - at;
    if (place < from) return null;
    if (place <= from + words) return at + (place - from);
    from += words;
    const value = values[found[0].slice(1, -1)];
    if (value === undefined || !shown.sample.startsWith(value, from)) return null;
    if (place < from + value.length) return found.index;
    from += value.length;
    at = found.index + found[0].length;
  }
  return place >= from && place - from <= template.length - at ? at + (place - from) : null;
}

/** What the same person wrote into a draft and has not saved; null: nothing. */
function unsaved(draft, login) {
  const kept = JSON.parse(sessionStorage.getItem(`${KEPT}${draft.id}`) ?? "null");
  const differs = kept && (kept.template !== draft.template || kept.subject !== draft.subject);
  return differs && kept.login === login ? kept : null;
}

/** draft: as it is kept. login: of who edits it. kind: of what it offers; empty: not known. shown(found, isKept): draws what a check says. step: makes a step. */
export function templateEditor({ draft, login, kind, signal, shown, step }) {
  const area = build("textarea", { id: "template", rows: "5", spellcheck: "false", "aria-describedby": "template-about" });
  const subject = build("input", { id: "subject", maxlength: "200" });
  const layers = layered(area);
  const told = build("div", { role: "status", class: "edit-state small" });
  const failed = build("div");
  const save = button(t("edit.save"), { class: "strong", "aria-keyshortcuts": "Control+Enter" }, keep);
  const undo = button(t("edit.undo"), { class: "plain" }, reset);
  const known = draft.slots_known;
  const hasSubject = Boolean(draft.subject) || ["push", "in_app", "wechat", "email", "poster"].includes(draft.channel);
  let waiting = 0;
  let running = new AbortController();
  signal.addEventListener("abort", () => {
    clearTimeout(waiting);
    running.abort();
  });

  const isChanged = () => area.value !== draft.template || subject.value !== draft.subject;

  function reset() {
    area.value = draft.template;
    subject.value = draft.subject;
    changed(0);
    area.focus();
  }

  function changed(pause = PAUSE_MS) {
    layers.draw(known);
    clearTimeout(waiting);
    running.abort();
    save.disabled = undo.disabled = !isChanged();
    failed.replaceChildren();
    if (isChanged()) {
      const edit = { login, seen: draft.sha256, template: area.value, subject: subject.value };
      sessionStorage.setItem(`${KEPT}${draft.id}`, JSON.stringify(edit));
    } else {
      sessionStorage.removeItem(`${KEPT}${draft.id}`);
      told.textContent = "";
      shown(draft, true);
      return;
    }
    told.textContent = t("edit.checking");
    waiting = setTimeout(check, pause);
  }

  async function check() {
    running = new AbortController();
    const { signal: stopped } = running;
    try {
      const body = { template: area.value, subject: subject.value };
      const found = await call(`/v1/drafts/${draft.id}/check`, { method: "POST", body, signal: stopped });
      if (stopped.aborted) return;
      shown(found.error ? { ...found, sample: area.value, sample_subject: subject.value, opening: "", closing: "" } : found, false);
      save.disabled = Boolean(found.error);
      told.textContent = found.error ? "" : t(found.passes ? "edit.passes" : "edit.stands");
      if (found.error) {
        const wrong = build("p", { class: "note stale", role: "alert" }, t("edit.error"), " ", t(`edit.error.${found.error_code}`));
        if (found.error_at !== null) {
          // The server counts characters, a text area UTF-16 units.
          const at = [...area.value].slice(0, found.error_at).join("").length;
          const show = () => {
            area.focus();
            area.setSelectionRange(at, at + 1);
          };
          wrong.append(" ", button(t("edit.show"), { class: "quiet" }, show));
        }
        failed.replaceChildren(wrong);
      }
    } catch (error) {
      if (error.name === "AbortError" || stopped.aborted) return;
      if (!(error instanceof Failure)) throw error;
      told.textContent = "";
      failed.replaceChildren(failure(error, check));
    }
  }

  async function keep() {
    if (save.disabled) return;
    clearTimeout(waiting);
    running.abort();
    save.disabled = true;
    if (!(await step("edit", { template: area.value, subject: subject.value }, failed, "PATCH"))) save.disabled = false;
  }

  /** What was written into an earlier version than stands now. */
  function other(edit) {
    const box = build("div", { class: "note stacked" }, build("p", {}, t("edit.other")), build("p", { class: "said" }, ...chipped(edit.template, known)));
    const take = button(t("edit.take"), { class: "plain" }, () => {
      area.value = edit.template;
      subject.value = edit.subject;
      box.remove();
      changed(0);
      area.focus();
    });
    box.append(build("div", { class: "row" }, take));
    return box;
  }

  function put(name) {
    area.focus();
    // Undoing keeps working where the browser inserts it itself.
    if (!document.execCommand("insertText", false, `{${name}}`)) area.setRangeText(`{${name}}`, area.selectionStart, area.selectionEnd, "end");
    changed();
  }

  const chips = build("ul", { class: "chips" });
  for (const name of Object.keys(known)) {
    const fits = kind === "draw" ? !NOT_OF_DRAWS.includes(name) : true;
    if (!(name in draft.values) && !(fits && (ONLY[name] ?? kind) === kind)) continue;
    const label = t(`slot.${name}`);
    const pressed = { class: "plain chip-button", title: draft.values[name], "aria-label": t("slot.put", { name: label }) };
    chips.append(build("li", {}, button("", pressed, () => put(name))));
    chips.lastChild.firstChild.append(build("span", { class: "chip" }, `{${name}}`), build("span", {}, label));
  }

  area.addEventListener("input", (event) => {
    layers.draw(known);
    if (!event.isComposing) changed();
  });
  area.addEventListener("compositionend", () => changed());
  subject.addEventListener("input", () => changed());
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    keep();
  });
  const kept = unsaved(draft, login);
  const stale = kept && kept.seen !== draft.sha256 ? other(kept) : "";
  area.value = kept && !stale ? kept.template : draft.template;
  subject.value = kept && !stale ? kept.subject : draft.subject;
  layers.draw(known);
  save.disabled = undo.disabled = true;
  const frozen = ["approved", "exported", "submitted"].includes(draft.state);
  return {
    node: build(
      "section",
      { class: "stacked editor" },
      build("h2", {}, t("edit.text")),
      ...(frozen ? [build("p", { class: "note stale" }, t("edit.frozen"))] : []),
      stale,
      ...(hasSubject ? [field(t("edit.subject"), subject, { class: "field whole" })] : []),
      draft.opening ? locked(draft.opening) : "",
      build("div", { class: "field whole" }, build("label", { for: "template" }, t("edit.template")), layers.node, build("p", { class: "small", id: "template-about" }, t("edit.about"))),
      draft.closing ? locked(draft.closing) : "",
      build("div", {}, build("p", { class: "small" }, t("slots")), chips),
      failed,
      build("div", { class: "between" }, told, build("div", { class: "row" }, undo, save)),
    ),
    /** Looks at an edit that was kept; once all of the page is there. */
    begin() {
      if (isChanged()) changed(0);
    },
    /** Selects a finding's words where they are the template's own, else points at them in the preview. */
    go(finding, found) {
      const values = { ...known, ...draft.values };
      const [{ span }] = inUnits([finding], found.sample);
      const [start, end] = span.map((place) => placeIn(area.value, values, found, place));
      if ((finding.where ?? "text") === "subject" && hasSubject) {
        subject.focus();
        return;
      }
      if (start !== null && end !== null) {
        area.focus();
        area.setSelectionRange(start, end);
        return;
      }
      const mark = document.querySelector(`.preview mark[data-rules~="${CSS.escape(finding.rule)}"]`);
      mark?.scrollIntoView({ block: "center" });
    },
  };
}

/** Words that come from data: nobody edits them here. */
export function locked(text) {
  return build("div", { class: "locked-words" }, build("p", { class: "small" }, t("locked")), build("p", {}, text.trim()));
}
