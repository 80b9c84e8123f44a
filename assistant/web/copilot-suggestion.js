/* A suggestion as it comes: what is known first, then the reply sentence by sentence, then the
   forms in which it can be sent. */

import { badge, button, clauseBody, clauseLine, fault, shortPlace, verdictSign } from "./copilot-kit.js";
import { calculationCard } from "./widget-calculation.js";
import { build } from "./widget-dom.js";
import { say } from "./widget-strings.js";

/** In the order of their keys. */
export const FORMS = ["reply", "short", "detailed"];
const DOWN = ["model_down", "nothing_found", "in_crisis", "internal_only"];

/** act: {insert(form), dismiss()}. */
export function suggestionView(host, act) {
  const { t } = host;
  const node = build("div", { class: "suggestion" });
  let parts = null;
  let citations = new Map();
  let sentences = [];
  let forms = {};
  let made = null;
  let fresh = true;

  function start() {
    citations = new Map();
    sentences = [];
    forms = {};
    made = { forms, id: "" };
    fresh = false;
    parts = {
      note: build("p", { class: "note", hidden: true }),
      known: build("section", { "aria-label": t("evidence") }),
      sums: build("section", { "aria-label": t("calculation") }),
      reply: build("section", { class: "suggested", "aria-label": t("form.reply") }),
      previews: build("section", { "aria-label": t("forms") }),
      forms: build("section", { class: "forms", "aria-label": t("insert") }),
    };
    const list = build("ol", { class: "sentences", "aria-live": "polite" });
    parts.list = list;
    parts.reply.append(list);
    node.replaceChildren(parts.note, parts.sums, parts.known, parts.reply, parts.previews, parts.forms);
  }

  function evidence(clauses) {
    const lines = clauses.map((clause) => clauseLine(host, clause));
    const opened = build("details", { class: "evidence" }, build("summary", {}, t("evidence.count", { count: clauses.length })), ...lines);
    parts.known.append(opened);
  }

  function calculation(found) {
    const card = calculationCard(found);
    if (card) parts.sums.append(say(card, host.words));
  }

  function chip(place, below) {
    const clause = citations.get(place);
    const chip_ = button(shortPlace(clause), { class: "chip", "aria-expanded": "false" }, () => {
      const open = chip_.getAttribute("aria-expanded") === "true";
      for (const other of chip_.parentNode.querySelectorAll(".chip")) other.setAttribute("aria-expanded", "false");
      chip_.setAttribute("aria-expanded", String(!open));
      below.replaceChildren(...(open ? [] : [clauseBody(host, clause)]));
    });
    return chip_;
  }

  function sentence(data) {
    sentences.push(data);
    const below = build("div");
    parts.list.append(
      build(
        "li",
        { "data-verdict": data.verdict, class: data.internal && "internal" },
        build("p", { class: "words" }, data.text),
        build(
          "p",
          { class: "row under" },
          data.internal ? badge("stale", t("internal")) : verdictSign(host, data),
          ...data.citations.map((place) => chip(place, below)),
        ),
        below,
      ),
    );
  }

  function showForms() {
    const bar = build("div", { class: "bar" });
    const previews = build("div", { class: "previews" });
    FORMS.forEach((form, at) => {
      const { text } = forms[form];
      const key = `Alt+${at + 1}`;
      const name = t(`form.${form}`);
      bar.append(
        button(name, { class: `${at ? "plain" : "strong"} small-button`, "data-form": form, disabled: !text, "aria-keyshortcuts": key, title: text || t("form.none"), "aria-label": `${t("insert")} ${name}` }, () => act.insert(form)),
      );
      bar.lastChild.append(" ", build("kbd", {}, key));
      // The reply stands above as its sentences; one that is the same as another is not shown twice.
      const shown = FORMS.slice(0, at).some((other) => forms[other].text === text);
      if (at && !shown) previews.append(preview(name, forms[form]));
    });
    // What only the detailed form has is told apart.
    [...parts.list.children].forEach((item, at) => {
      const beyond = forms.reply.text && !forms.reply.text.includes(sentences[at].text) && !sentences[at].internal;
      if (beyond) item.classList.add("beyond");
    });
    parts.forms.replaceChildren(bar);
    parts.previews.replaceChildren(previews);
  }

  function preview(name, form) {
    return build(
      "details",
      {},
      build("summary", {}, build("strong", {}, name), " ", verdictSign(host, form), build("span", { class: "preview" }, form.text || t("form.none"))),
      form.text ? build("p", { class: "words" }, form.text) : "",
    );
  }

  /** Only now can a form be inserted: the suggestion is kept, and what becomes of it is told of it. */
  function done(data) {
    made = { forms, id: data.suggestion_id };
    parts.note.hidden = !data.note;
    parts.note.textContent = data.note && t(`note.${data.note_code}`);
    parts.note.className = `note ${DOWN.includes(data.note_code) ? "stale" : ""}`;
    parts.note.dataset.code = data.note_code;
    node.removeAttribute("aria-busy");
    if (!sentences.length) return;
    showForms();
    parts.previews.append(
      build(
        "p",
        { class: "between small" },
        build("span", { class: "figures" }, t("timings", { first: Math.round(data.timings.evidence_ms), total: Math.round(data.timings.total_ms) })),
        button(t("dismiss"), { class: "quiet" }, act.dismiss),
      ),
    );
    host.announce(t("suggested"));
  }

  const TAKE = {
    evidence: (data) => evidence(data.clauses),
    calculation,
    citation: (data) => citations.set(data.index, data),
    sentence,
    alternatives: (data) => (forms = data),
    done,
  };

  return {
    node,
    /** What was suggested before stays until something of the new one is there. */
    begin() {
      fresh = true;
      made = null;
      node.classList.remove("answered");
      node.setAttribute("aria-busy", "true");
      if (!node.firstChild) node.replaceChildren(build("p", { class: "small" }, t("waiting")));
    },
    take({ name, data }) {
      if (fresh) start();
      if (name === "error") {
        node.removeAttribute("aria-busy");
        parts.note.hidden = false;
        parts.note.className = "note stale";
        parts.note.textContent = `${data.text} ${data.trace_id}`;
      }
      TAKE[name]?.(data);
    },
    fail(error, retry) {
      node.removeAttribute("aria-busy");
      made = null;
      node.replaceChildren(fault(host, error, retry), build("p", { class: "small" }, t("goes_on")));
    },
    say(text) {
      node.removeAttribute("aria-busy");
      made = null;
      node.replaceChildren(build("p", { class: "small" }, text));
    },
    /** The agent has answered: it stays to be read, and is no longer news. */
    answered() {
      node.removeAttribute("aria-busy");
      node.classList.add("answered");
    },
    /** {text, suggestion_id, variant} of a form; null where there is none. */
    form(name) {
      const text = made?.forms[name]?.text;
      return text ? { text, suggestion_id: made.id, variant: name } : null;
    },
    get id() {
      return made?.id ?? "";
    },
  };
}
