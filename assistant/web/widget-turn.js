/* One question and what came back, drawn as it comes. */

import { calculationCard } from "./widget-calculation.js";
import { build, icon } from "./widget-dom.js";

const NOT_WORTH_RETRYING = new Set([400, 413, 422]);

/** The last step of a heading path; the whole of an article number. */
function shortLocator(locator) {
  return locator.split(" > ").pop();
}

export function phoneLink(hotline, ...children) {
  return build("a", { href: `tel:${hotline.replace(/[^\d+]/g, "")}`, class: "call" }, ...children);
}

/** How each event changes the turn. Events not named here are for other clients. */
const DRAW = {
  status: (turn, { stage }) => turn.setStage(stage),
  evidence: (turn, { clauses }) => turn.addEvidence(clauses),
  citation: (turn, citation) => turn.citations.set(citation.index, citation),
  calculation: (turn, calculation) => turn.addCalculation(calculation),
  sentence: (turn, sentence) => turn.addSentence(sentence),
  notice: (turn, { text }) => turn.addNotice(text),
  // How a hand-over stands is shown above the conversation, where it is kept up to date.
  handoff: (turn, { handoff, message, ...way }) => {
    if (!handoff) turn.addHandoff(way);
    else if (message) turn.addNotice(way.text);
  },
  done: (turn, outcome) => turn.finish(outcome),
  error: (turn, { text, trace_id: traceId }) => turn.fail({ text, traceId }),
};

export class Turn {
  #host;
  #status = build("p", { class: "stage", "data-say": "stage.retrieving", "aria-hidden": "true" });
  #skeleton = build("div", { class: "skeleton", "aria-hidden": "true" });
  /** The list of clauses, until there is something to read below it. */
  #unfolded = null;
  #blocks = build("div", { class: "blocks" });

  /** host: {say, openClause, setHuman, feedback, retry}, how the turn reaches the rest of the
      widget; feedback makes the bar below a reply, retry answers whether it asked. */
  constructor(question, locale, host) {
    this.question = question;
    this.citations = new Map();
    this.ended = false;
    this.modelSpoke = false;
    this.#host = host;
    this.#skeleton.append(build("i"), build("i"), build("i"));
    this.asked = build(
      "p",
      { class: "question" },
      build("span", { class: "unseen", "data-say": "turn.you" }),
      build("span", { class: "words" }, question),
    );
    this.answer = build("div", { class: "answer" }, this.#blocks, this.#status, this.#skeleton);
    this.node = build("article", { class: "turn", lang: locale }, this.asked, this.answer);
    host.say(this.node);
  }

  receive({ name, data }) {
    DRAW[name]?.(this, data);
  }

  /** Draws a turn of before, as far as it came; contact: what is said where a person was offered. */
  restore({ record_id: recordId, status, reply }, contact) {
    for (const [index, citation] of (reply?.citations ?? []).entries()) {
      this.citations.set(index, { ...citation, index });
    }
    for (const sentence of reply?.sentences ?? []) this.addSentence(sentence);
    if (reply?.contact) this.addHandoff({ text: contact, ...reply.contact });
    if (!reply || status === "unanswered") this.fail({ key: "history.unanswered" });
    this.finish({ record_id: recordId });
  }

  setStage(stage) {
    this.#status.dataset.say = `stage.${stage}`;
    this.#host.say(this.#status);
  }

  addEvidence(clauses) {
    if (!clauses.length) return;
    const list = build("ul");
    for (const clause of clauses) {
      const button = build(
        "button",
        { type: "button" },
        build("span", { class: "of" }, clause.document),
        build("span", {}, shortLocator(clause.locator)),
      );
      button.addEventListener("click", () => this.#host.openClause(clause, button));
      list.append(build("li", {}, button));
    }
    // Not announced: somebody listening wants the answer, and can open the list.
    this.#unfolded = build(
      "details",
      { class: "evidence", open: true, "aria-live": "off" },
      build("summary", { "data-say": "evidence.checking", "data-count": clauses.length }),
      list,
    );
    this.#blocks.before(this.#host.say(this.#unfolded));
  }

  addSentence({ text, kind, citations = [] }) {
    if (kind === "notice") return this.addNotice(text);
    const cited = citations.map((index) => this.citations.get(index)).filter(Boolean);
    const words = build(kind === "quote" ? "blockquote" : "p", { class: "words" }, text);
    const block = build("div", { class: `sentence ${kind}` }, words);
    const digest = cited.some((citation) => citation.digest);
    const tag = digest && kind === "quote" ? "digest" : `sentence.${kind}`;
    // Sentences of one calculation belong together: the first says what they are.
    const goesOn = kind === "tool" && this.#blocks.lastElementChild?.matches(".sentence.tool");
    if (kind !== "model" && !goesOn) block.prepend(build("p", { class: "tag", "data-say": tag }));
    if (cited.length) {
      block.append(build("p", { class: "chips" }, ...cited.map((one) => this.#chip(one))));
    }
    this.modelSpoke ||= kind === "model";
    this.#append(block);
  }

  addCalculation(calculation) {
    const card = calculationCard(calculation);
    if (card) this.#append(card);
  }

  #chip(citation) {
    const chip = build("button", {
      type: "button",
      class: "chip",
      "data-say": "chip",
      "data-label": "chip.label",
      "data-number": citation.index + 1,
      "data-locator": shortLocator(citation.locator),
      "data-document": citation.document,
      "aria-haspopup": "dialog",
    });
    chip.addEventListener("click", () => this.#host.openClause(citation, chip));
    return chip;
  }

  addNotice(text) {
    this.#append(build("p", { class: "notice" }, text));
  }

  /** A notice in the widget's own words. */
  addOwnNotice(key) {
    this.#append(build("p", { class: "notice", "data-say": key }));
  }

  addHandoff(handoff) {
    this.#host.setHuman(handoff);
    const card = build("div", { class: "handoff" }, build("p", {}, handoff.text));
    if (handoff.hotline) {
      const words = build("span", { "data-say": "handoff.call", "data-hotline": handoff.hotline });
      card.append(phoneLink(handoff.hotline, icon("phone"), words));
    }
    if (handoff.hours) card.append(build("p", { class: "small" }, handoff.hours));
    this.#append(card);
  }

  finish({ record_id: recordId, conversation_id: conversationId }) {
    this.#settle();
    const small = build("p", { class: "small" });
    if (this.modelSpoke) small.append(build("span", { "data-say": "turn.generated" }));
    if (recordId) {
      small.append(build("span", { "data-say": "turn.record", "data-record": recordId }));
    }
    if (small.childNodes.length) this.#append(small);
    if (recordId && conversationId) {
      this.#append(this.#host.feedback({ record_id: recordId, conversation_id: conversationId }));
    }
  }

  /** Ends the turn where it is. What arrived stays; `text` is the server's wording, `key` ours. */
  fail({ text = "", key = "", traceId = "", status = 0 }) {
    this.#settle();
    const message = text ? build("p", {}, text) : build("p", { "data-say": key });
    const box = build("div", { class: "failure" }, message);
    if (!NOT_WORTH_RETRYING.has(status)) {
      const retry = build("button", { type: "button", "data-say": "retry" });
      retry.addEventListener("click", () => {
        if (this.#host.retry(this.question)) retry.remove();
      });
      box.append(retry);
    }
    if (traceId) {
      box.append(build("p", { class: "small", "data-say": "trace", "data-trace": traceId }));
    }
    this.#append(box);
  }

  /** Ended by the person: no retry, no blame. */
  stop() {
    this.#settle();
    this.addOwnNotice("stopped");
  }

  #append(block) {
    this.#skeleton.remove();
    if (this.#unfolded) this.#unfolded.open = false;
    this.#unfolded = null;
    this.#blocks.append(this.#host.say(block));
  }

  #settle() {
    this.ended = true;
    this.#status.remove();
    this.#skeleton.remove();
    for (const summary of this.node.querySelectorAll(".evidence summary")) {
      summary.dataset.say = "evidence.checked";
      this.#host.say(summary);
    }
  }
}
