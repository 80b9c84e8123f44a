/* The borrower's side of a hand-over: who answers now, the queue, and what a person writes. */

import { listen, messageId } from "./live-stream.js";
import { build } from "./widget-dom.js";

/** What stands in place of personal data in what the server keeps. */
const PLACEHOLDER = /<[A-Z]+_\d+>/g;
/** How a hand-over stands -> what can be done about it. */
const LEAVE = { waiting: "desk.leave", ticket: "desk.cancel", taken: "desk.end" };

export class Handoff {
  #host;
  #stands = null;
  #life = null;
  #seen = new Map();
  #connected = true;
  #busy = false;
  #text = build("p", { class: "desk-text", role: "status" });
  #who = build("strong", { class: "desk-who" });
  #buttons = build("div", { class: "desk-buttons" });
  #word = null;

  /** host: {endpoint, locale, token, renewed, conversation, say, add, announce, changed, failed},
      how this part reaches the rest of the widget.
      add(node, at): puts a node into the conversation, where it belongs by its time; without one, at
      the end. changed(agent): who answers now, empty
      for the assistant. renewed(token): asks the page for another token. */
  constructor(host) {
    this.#host = host;
    this.node = build("section", { class: "desk", "data-label": "desk" }, this.#who, this.#text, this.#buttons);
    this.#draw();
  }

  /** Whether what is typed goes to a person. */
  get withAgent() {
    return this.#stands?.state === "taken";
  }

  get #under() {
    return ["waiting", "ticket", "taken"].includes(this.#stands?.state);
  }

  /** After a reload: whether a person has the conversation, or is waited for. */
  resume() {
    if (this.#host.conversation.value) this.#listen();
  }

  /** An event of an answer that says how the hand-over stands. */
  joined({ handoff, message }) {
    if (message) this.#seen.set(message.id, null);
    if (!handoff) return;
    this.#host.conversation.value = handoff.conversation_id;
    this.#set(handoff);
    this.#listen();
  }

  /** The borrower begins anew: nobody shall wait for them, or they for anybody. */
  drop() {
    if (this.#under) this.#leave();
    this.forget();
  }

  forget() {
    if (this.withAgent) this.#host.changed("");
    this.#life?.abort();
    this.#life = null;
    this.#stands = null;
    this.#seen.clear();
    this.#word = null;
    this.#draw();
  }

  /** After a change of the language. */
  reword() {
    this.#draw();
    if (this.#life) this.#listen();
  }

  async ask() {
    const asked = { locale: this.#host.locale() };
    if (this.#host.conversation.value) asked.conversation_id = this.#host.conversation.value;
    const handoff = await this.#post("handoffs", asked);
    if (handoff) this.joined({ handoff });
  }

  /** Sends what was typed to the person; it is shown at once, and marked until it has arrived. */
  async say(text) {
    const id = messageId();
    const node = this.#own(text);
    node.dataset.state = "sending";
    this.#seen.set(id, node);
    await this.#send(text, id, node);
  }

  async #send(text, id, node) {
    const path = `conversations/${this.#host.conversation.value}/messages`;
    const said = await this.#post(path, { message: text, message_id: id, locale: this.#host.locale() }, false);
    if (said) {
      this.#arrived(node);
      if (said.notice) this.#step(said.notice);
      // It may have begun another hand-over.
      if (!this.#under) this.#listen();
      return;
    }
    node.dataset.state = "failed";
    const again = build("button", { type: "button", class: "again", "data-say": "desk.again" });
    again.addEventListener("click", () => {
      again.remove();
      node.dataset.state = "sending";
      this.#send(text, id, node);
    });
    node.append(this.#host.say(again));
  }

  #arrived(node) {
    delete node.dataset.state;
    node.querySelector(".again")?.remove();
  }

  #headers() {
    const token = this.#host.token();
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** JSON of an address of ours, or null, after what was wrong has been told. */
  async #post(path, body, busy = true, renew = true) {
    if (busy) this.#setBusy(true);
    const token = this.#host.token();
    try {
      const response = await fetch(new URL(path, this.#host.endpoint), {
        method: "POST",
        headers: { "Content-Type": "application/json", ...this.#headers() },
        body: JSON.stringify(body),
      });
      const answer = await response.json().catch(() => ({}));
      if (response.ok) return answer;
      if (response.status === 401 && token && renew && (await this.#host.renewed(token))) {
        return await this.#post(path, body, busy, false);
      }
      this.#host.failed(answer.detail ?? "");
      return null;
    } catch {
      this.#host.failed("");
      return null;
    } finally {
      if (busy) this.#setBusy(false);
    }
  }

  #setBusy(busy) {
    this.#busy = busy;
    for (const button of this.node.querySelectorAll("button")) button.disabled = busy;
  }

  #listen() {
    this.#life?.abort();
    const life = new AbortController();
    this.#life = life;
    const path = `conversations/${this.#host.conversation.value}/events?locale=${this.#host.locale()}`;
    listen(new URL(path, this.#host.endpoint), {
      headers: () => this.#headers(),
      signal: life.signal,
      onEvent: (event) => this.#receive(event, life),
      onProblem: async (problem) => {
        const token = this.#host.token();
        if (problem.status === 401 && token) return this.#host.renewed(token);
        return problem.status >= 500 || problem.status === 429;
      },
      onConnected: (connected) => {
        if (this.#connected === connected || life.signal.aborted) return;
        this.#connected = connected;
        this.#draw();
      },
    });
  }

  #receive({ name, data }, life) {
    if (life.signal.aborted || name === "end") {
      this.#connected = true;
      return false;
    }
    if (name === "handoff") this.#set(data);
    if (name === "message") this.#message(data);
    if (name === "step" && data.text && !this.#seen.has(`step ${data.seq}`)) {
      this.#seen.set(`step ${data.seq}`, null);
      this.#step(data.text, data.at);
    }
    return true;
  }

  #set(handoff) {
    const before = this.#stands?.state;
    this.#stands = handoff;
    if (handoff.state !== "ticket") this.#word = null;
    this.#draw();
    if (before !== handoff.state) this.#host.changed(handoff.agent);
  }

  #message({ id, speaker, name, at, text: kept }) {
    const text = kept.replace(PLACEHOLDER, this.#host.words("desk.masked"));
    if (this.#seen.has(id)) {
      const node = this.#seen.get(id);
      if (node) this.#arrived(node);
      return;
    }
    this.#seen.set(id, null);
    if (speaker === "borrower") this.#own(text, at);
    else this.#person(name, text, at);
  }

  #own(text, at) {
    const node = build(
      "article",
      { class: "said own" },
      build("p", { class: "question" }, build("span", { class: "unseen", "data-say": "turn.you" }), build("span", { class: "words" }, text)),
    );
    this.#host.add(this.#host.say(node), at);
    return node;
  }

  #person(name, text, at) {
    const node = build(
      "article",
      { class: "said person" },
      build("p", { class: "tag", "data-say": "desk.agent", "data-name": name }),
      build("p", { class: "words" }, text),
    );
    this.#host.add(this.#host.say(node), at);
  }

  #step(text, at) {
    this.#host.add(build("p", { class: "step" }, text), at);
  }

  // The bar: who answers now, how long it takes, what can be done

  #draw() {
    const stands = this.#under ? this.#stands : null;
    const state = stands?.state ?? "none";
    const focused = this.node.contains(this.node.getRootNode().activeElement);
    this.node.dataset.state = state;
    if (stands?.agent) {
      this.#who.dataset.say = "desk.agent";
      this.#who.dataset.name = stands.agent;
    } else {
      this.#who.dataset.say = "desk.assistant";
    }
    const text = state === "none" || state === "taken" ? "" : stands.text;
    const lost = this.#under && !this.#connected;
    const shown = lost ? "desk.lost" : "";
    this.#text.dataset.say = shown;
    // Set only where it changes, so that it is read out once.
    if (!shown && this.#text.textContent !== text) this.#text.textContent = text;
    this.#buttons.replaceChildren();
    if (!stands) {
      this.#add("desk.ask", () => this.ask());
    } else {
      this.#add(LEAVE[state], () => this.#leave());
    }
    if (state === "ticket") this.#word ??= this.#wordForm();
    const form = this.node.querySelector("form");
    if (state === "ticket" && form !== this.#word) this.node.append(this.#word);
    if (state !== "ticket") form?.remove();
    this.#host.say(this.node);
    if (focused) this.#buttons.querySelector("button")?.focus();
  }

  #add(key, act) {
    const button = build("button", { type: "button", "data-say": key, disabled: this.#busy });
    button.addEventListener("click", act);
    this.#buttons.append(button);
  }

  async #leave() {
    const { id } = this.#stands;
    const handoff = await this.#post(`handoffs/${id}/leave`, { locale: this.#host.locale() });
    if (handoff && this.#stands?.id === id) this.#set(handoff);
  }

  /** While nobody is at the desk: a message, and how to be reached. */
  #wordForm() {
    const message = build("textarea", { rows: "2", maxlength: "2000", "data-label": "desk.word", "data-hint": "desk.word" });
    const contact = build("input", { maxlength: "100", autocomplete: "tel", "data-label": "desk.contact", "data-hint": "desk.contact" });
    const send = build("button", { class: "strong", "data-say": "desk.word.send" });
    const form = build("form", { class: "desk-word" }, message, contact, send);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = message.value.trim();
      const way = contact.value.trim();
      if (!text && !way) {
        message.focus();
        return;
      }
      if (way) {
        const kept = await this.#post(`handoffs/${this.#stands.id}/contact`, { contact: way, locale: this.#host.locale() });
        if (!kept) return;
        contact.value = "";
        this.#host.announce("desk.contact.kept");
        this.#step(this.#host.words("desk.contact.kept"));
      }
      if (text) {
        message.value = "";
        await this.say(text);
      }
    });
    return form;
  }
}
