/* <zhunxin-chat>: the launcher, the panel and the conversation in it. */

import { ClauseSheet } from "./widget-clause.js";
import { build, icon } from "./widget-dom.js";
import { HistoryMenu, readHistory } from "./widget-history.js";
import { Handoff } from "./widget-handoff.js";
import { feedbackBar } from "./widget-feedback.js";
import { Problem, readAnswer, subjectOf } from "./widget-stream.js";
import { LOCALES, chooseLocale, loadStrings, say } from "./widget-strings.js";
import { Turn, phoneLink } from "./widget-turn.js";

const MAX_CHARACTERS = 2000;
const COUNT_FROM = 1800;
/** How long a question waits for a new token once the one it had is refused. */
const TOKEN_WAIT_MS = 10_000;
/** Left free above a turn that is scrolled to. */
const ABOVE_PX = 16;
/** So near to the end, what is added there is followed. */
const NEAR_END_PX = 80;
/** Where the panel covers the page and is modal; the same condition stands in widget.css. */
const COVERING = "(max-width: 560px), (max-height: 480px)";

async function loadSheet(name) {
  const response = await fetch(new URL(`./${name}`, import.meta.url));
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  return new CSSStyleSheet().replace(await response.text());
}

/** The conversation id outlives a reload of the page, but not the tab. */
class ConversationId {
  #key;
  #value = null;

  constructor(endpoint) {
    this.#key = `zhunxin:conversation:${endpoint}`;
    try {
      this.#value = sessionStorage.getItem(this.#key);
    } catch {
      // Storage may be forbidden to an embedded page; the id then lives as long as the element.
    }
  }

  get value() {
    return this.#value;
  }

  set value(id) {
    this.#value = id;
    try {
      if (id) sessionStorage.setItem(this.#key, id);
      else sessionStorage.removeItem(this.#key);
    } catch {
      // As above.
    }
  }
}

export class ZhunxinChat extends HTMLElement {
  static observedAttributes = ["locale", "open", "token"];

  #life = null;
  #ready = null;
  #strings = null;
  #locale = LOCALES[0];
  #conversation = null;
  #asking = null;
  #renewed = new Set();
  #lender = null;
  #human = null;
  #handoff = null;
  #covering = matchMedia(COVERING);
  #parts = null;

  get open() {
    return this.hasAttribute("open");
  }

  set open(value) {
    this.toggleAttribute("open", Boolean(value));
  }

  get endpoint() {
    return this.getAttribute("endpoint") || new URL("../v1/chat", import.meta.url).href;
  }

  /** Opens the panel and asks, as if the person had typed it. */
  async ask(text) {
    this.open = true;
    await this.#ready;
    if (this.#parts) await this.#ask(text);
  }

  connectedCallback() {
    this.#life = new AbortController();
    if (!this.shadowRoot) this.attachShadow({ mode: "open" });
    this.shadowRoot.replaceChildren(build("slot"));
    this.#ready = this.#start(this.#life.signal);
  }

  disconnectedCallback() {
    this.#life.abort();
    this.#asking?.abort("gone");
    this.#handoff?.forget();
    this.#parts = null;
    this.shadowRoot.replaceChildren();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.#parts || before === after) return;
    if (name === "open") this.#showOrHide();
    if (name === "locale") this.#speak(after);
    if (name === "token") {
      // Signed out, or somebody else: what the last person read must not stay on the screen. A
      // token that follows one of the same person changes nothing.
      const other = before !== null && subjectOf(before) !== subjectOf(after ?? "");
      if (after === null || other) this.#forget();
      else if (this.#renewed.size) for (const again of this.#renewed) again();
      else if (before === null) this.#restore();
    }
  }

  async #start(signal) {
    const locale = chooseLocale([
      this.getAttribute("locale"),
      document.documentElement.lang,
      ...navigator.languages,
    ]);
    try {
      const [strings, ...sheets] = await Promise.all([
        loadStrings(locale),
        loadSheet("tokens.css"),
        loadSheet("widget.css"),
        loadSheet("widget-handoff.css"),
        loadSheet("widget-feedback.css"),
      ]);
      if (signal.aborted) return;
      this.shadowRoot.adoptedStyleSheets = sheets;
      this.#strings = strings;
      this.#locale = locale;
    } catch {
      // The element's own children stay visible; a connection that comes back is worth a try.
      const again = () => (this.#ready = this.#start(signal));
      addEventListener("online", again, { once: true, signal });
      return;
    }
    this.#conversation = new ConversationId(this.endpoint);
    this.#draw(signal);
    this.#showOrHide();
    this.#meetLender(signal);
    this.#restore().finally(() => {
      // What a person wrote is put between what the assistant said, by the time of both.
      if (this.#parts) this.#handoff.resume();
    });
  }

  /** Draws again what was said before the page was loaded. Without the token that it needs, it is
      left for when there is one. */
  async #restore() {
    const id = this.#conversation.value;
    const { log } = this.#parts;
    if (!id || !log.querySelector(".welcome")) return;
    let held;
    try {
      held = await readHistory(
        this.endpoint,
        this.getAttribute("token"),
        id,
        this.#life.signal,
      );
    } catch {
      return;
    }
    if (!this.#parts || this.#conversation.value !== id || !log.querySelector(".welcome")) return;
    if (!held.length) return;
    const turns = held.map((said) => {
      const turn = new Turn(said.message, said.locale || this.#locale, this.#hostOf());
      turn.restore(said, this.#strings["history.contact"]);
      turn.node.dataset.at = said.asked_at;
      return turn.node;
    });
    // All of it at once is nothing to read aloud.
    log.setAttribute("aria-live", "off");
    log.replaceChildren(...turns);
    log.scrollTop = log.scrollHeight;
    setTimeout(() => log.removeAttribute("aria-live"), 500);
    this.#announce("history.restored");
  }

  /** How a turn reaches the rest of the widget. */
  #hostOf() {
    return {
      say: (node) => say(node, this.#strings),
      openClause: (clause, chip) => this.#openClause(clause, chip),
      setHuman: (handoff) => {
        this.#human = handoff;
        this.#drawHuman();
      },
      feedback: (ids) =>
        feedbackBar(ids, {
          endpoint: this.endpoint,
          token: () => this.getAttribute("token"),
          strings: () => this.#strings,
          say: (node) => say(node, this.#strings),
          locale: () => this.#locale,
        }),
      retry: (again) => {
        if (this.#asking) return false;
        // The button that was pressed goes away; from here the focus goes on to the stop button.
        this.#parts.send.focus();
        this.#ask(again);
        return true;
      },
    };
  }

  /** Shows a clause; of a reply from before a reload the text has to be asked for. */
  async #openClause(clause, chip) {
    let shown = clause;
    if (clause.text === undefined) {
      shown = { ...clause, text: clause.quote };
      try {
        const path = `clauses/${encodeURIComponent(clause.clause_id)}`;
        const response = await fetch(new URL(path, this.endpoint));
        if (response.ok) shown = { ...clause, text: (await response.json()).text };
      } catch {
        // The quote is what there is to show then.
      }
    }
    if (this.#parts) this.#parts.clause.show(shown, chip, this.#strings, this.#locale);
  }

  /** Whose assistant this is and how to reach a person; until it is known, neither is claimed. */
  async #meetLender(signal) {
    try {
      const response = await fetch(new URL("lender", this.endpoint), { signal });
      if (!response.ok) return;
      this.#lender = await response.json();
    } catch {
      return;
    }
    if (!this.#parts) return;
    this.#parts.title.dataset.lender = this.#lender.short_name;
    this.#parts.title.dataset.say = "title.lender";
    this.#wordAll();
  }

  #draw(signal) {
    const on = (node, type, act) => node.addEventListener(type, act, { signal });
    const button = (name, key, act) => {
      const node = build("button", { type: "button", class: "icon", "data-label": key });
      node.append(icon(name));
      on(node, "click", act);
      return node;
    };

    const launcher = build(
      "button",
      { type: "button", class: "launcher", "aria-haspopup": "dialog" },
      icon("chat"),
      build("span", { "data-say": "launcher" }),
    );
    on(launcher, "click", () => {
      this.open = true;
      // A finger's keyboard would hide half of what has just been opened.
      (this.#covering.matches ? this.#parts.title : this.#parts.field).focus();
    });

    const languages = build("select", { class: "languages", "data-label": "language" });
    for (const locale of LOCALES) {
      const option = build("option", { value: locale, lang: locale }, this.#strings[locale]);
      option.selected = locale === this.#locale;
      languages.append(option);
    }
    on(languages, "change", () => this.#speak(languages.value));

    const history = new HistoryMenu({
      endpoint: () => this.endpoint,
      token: () => this.getAttribute("token"),
      id: () => this.#conversation.value,
      locale: () => this.#locale,
      strings: () => this.#strings,
      forget: () => {
        this.#forget("history.deleted");
        // The question that is still open closes first.
        queueMicrotask(() => this.#parts?.field.focus());
      },
    });
    const label = build("p", { class: "small", "data-say": "label" });
    const title = build("h2", { id: "title", tabindex: "-1", "data-say": "title" });
    const header = build(
      "header",
      {},
      build("div", { class: "names" }, title, label),
      languages,
      history.node,
      button("fresh", "fresh", () => {
        this.#handoff.drop();
        this.#forget();
        this.#parts.field.focus();
      }),
      button("close", "close", () => (this.open = false)),
    );

    const human = build("div", { class: "human" });
    this.#handoff = new Handoff(this.#deskHost());
    const offline = build("p", { class: "offline", role: "status" });
    const log = build("div", { class: "log", role: "log", tabindex: "0", "data-label": "log" });
    const announcer = build("p", { class: "unseen", role: "status" });

    const field = build("textarea", {
      id: "field",
      rows: "1",
      enterkeyhint: "send",
      "data-hint": "field.hint",
      "data-label": "field",
      "aria-describedby": "too-long",
    });
    on(field, "input", () => this.#count());
    on(field, "keydown", (event) => {
      // While an input method composes, Enter picks a word; 229 is how older ones say so.
      if (event.key !== "Enter" || event.shiftKey) return;
      if (event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      composer.requestSubmit();
    });
    const count = build("p", { class: "count small", "aria-hidden": "true" });
    const tooLong = build("p", { id: "too-long", class: "too-long", role: "alert" });
    const send = build("button", { class: "send", "data-label": "send" }, icon("send"));
    const stop = button("stop", "stop", () => this.#asking?.abort("stopped"));
    stop.classList.add("send");
    stop.hidden = true;
    const composer = build("form", { class: "composer" }, field, send, stop, count, tooLong);
    on(composer, "submit", (event) => {
      event.preventDefault();
      this.#submit();
    });

    const clause = new ClauseSheet();
    const panel = build(
      "dialog",
      { class: "panel", "aria-labelledby": "title" },
      header,
      human,
      this.#handoff.node,
      offline,
      log,
      announcer,
      composer,
      clause.node,
      history.dialog,
    );
    on(panel, "keydown", (event) => {
      const ours = event.key === "Escape" && !event.isComposing && !event.defaultPrevented;
      if (ours && !clause.open && !history.open) this.open = false;
    });
    // What is taken out of here as text carries the label along.
    on(log, "copy", (event) => {
      const chosen = this.shadowRoot.getSelection?.() ?? document.getSelection();
      const text = chosen?.toString() ?? "";
      if (!text || !event.clipboardData) return;
      event.clipboardData.setData("text/plain", `${text}\n${this.#strings.label}`);
      event.preventDefault();
    });
    // A modal panel is also closed by the browser itself, without a key.
    on(panel, "close", () => {
      if (!panel.open) this.open = false;
    });
    on(this.#covering, "change", () => {
      if (!panel.open) return;
      clause.close();
      panel.close();
      this.#showOrHide();
    });
    for (const type of ["online", "offline"]) {
      addEventListener(type, () => this.#showConnection(), { signal });
    }

    this.#parts = {
      ...{ launcher, languages, title, label, human, offline, log, announcer },
      ...{ field, count, tooLong, send, stop, clause, panel },
    };
    this.shadowRoot.replaceChildren(launcher, panel);
    this.#welcome();
    this.#wordAll();
  }

  #wordAll() {
    const { panel, launcher } = this.#parts;
    panel.lang = this.#locale;
    launcher.lang = this.#locale;
    say(panel, this.#strings);
    say(launcher, this.#strings);
    this.#drawHuman();
    this.#showConnection();
    this.#count();
  }

  /** How the hand-over reaches the rest of the widget. */
  #deskHost() {
    return {
      endpoint: this.endpoint,
      locale: () => this.#locale,
      token: () => this.getAttribute("token"),
      renewed: (token) => this.#newToken(token, this.#life.signal),
      conversation: this.#conversation,
      say: (node) => say(node, this.#strings),
      words: (key) => this.#strings[key],
      announce: (key) => this.#announce(key),
      add: (node, at) => {
        const { log } = this.#parts;
        const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
        log.querySelector(".welcome")?.remove();
        // Only turns of before a reload say when they were: by the same clock as what a person wrote.
        const later = at && [...log.children].find(({ dataset }) => Date.parse(dataset.at) > Date.parse(at));
        if (later) later.before(node);
        else log.append(node);
        // Who reads an answer is not taken from it by what the desk does.
        if (!this.#asking && (atEnd || !node.matches(".step"))) log.scrollTop = log.scrollHeight;
      },
      changed: (agent) => {
        const { label, field } = this.#parts;
        label.dataset.say = agent ? "desk.label" : "label";
        field.dataset.hint = agent ? "desk.hint" : "field.hint";
        say(label, this.#strings);
        say(field, this.#strings);
      },
      failed: (text) => {
        const told = build("p", {}, text || this.#strings.failed);
        this.#deskHost().add(build("div", { class: "failure", role: "alert" }, told));
      },
    };
  }

  async #speak(wanted) {
    const locale = chooseLocale([wanted]);
    if (locale === this.#locale) return;
    const { signal } = this.#life;
    try {
      const strings = await loadStrings(locale);
      if (signal.aborted) return;
      this.#strings = strings;
      this.#locale = locale;
      this.#wordAll();
      this.#handoff.reword();
    } catch {
      this.#announce("language.failed");
    }
    this.#parts.languages.value = this.#locale;
  }

  #showOrHide() {
    const { panel, launcher, clause } = this.#parts;
    launcher.hidden = this.open;
    if (this.open && !panel.open) {
      if (this.#covering.matches) panel.showModal();
      // show() would take the focus from the page, which may just have been loaded.
      else panel.open = true;
    } else if (!this.open && panel.open) {
      const inside = this.shadowRoot.activeElement !== null;
      if (clause.open) clause.close();
      panel.close();
      if (inside) launcher.focus();
    }
  }

  #showConnection() {
    const { offline } = this.#parts;
    offline.textContent = navigator.onLine ? "" : this.#strings.offline;
  }

  #drawHuman() {
    const { human } = this.#parts;
    const { hotline, hours } = [this.#human, this.#lender].find((known) => known?.hotline) ?? {};
    if (hotline) {
      const words = build("span", { "data-say": "human", "data-hotline": hotline });
      human.replaceChildren(
        phoneLink(hotline, icon("phone"), words),
        build("span", { class: "small" }, hours),
      );
    } else {
      human.replaceChildren(build("span", { class: "small", "data-say": "human.unknown" }));
    }
    say(human, this.#strings);
  }

  #welcome() {
    const { log } = this.#parts;
    const suggestions = build("ul", { class: "suggestions", "data-label": "suggestions" });
    for (const number of [1, 2, 3, 4]) {
      const key = `suggestion.${number}`;
      const button = build("button", { type: "button", "data-say": key });
      button.addEventListener("click", () => this.#ask(this.#strings[key]));
      suggestions.append(build("li", {}, button));
    }
    log.replaceChildren(
      build(
        "div",
        { class: "welcome" },
        build("p", { class: "lead", "data-say": "welcome" }),
        build("p", { "data-say": "welcome.how" }),
        suggestions,
        build("p", { class: "small", "data-say": "welcome.privacy" }),
      ),
    );
    say(log, this.#strings);
  }

  /** Leaves nothing of the conversation, here or in the tab's storage. */
  #forget(key = "fresh.done") {
    this.#asking?.abort("gone");
    this.#conversation.value = null;
    this.#handoff.forget();
    this.#welcome();
    this.#announce(key);
  }

  #announce(key) {
    const { announcer } = this.#parts;
    announcer.dataset.say = key;
    say(announcer, this.#strings);
  }

  #count() {
    const { field, count, tooLong } = this.#parts;
    const length = [...field.value].length;
    const over = length > MAX_CHARACTERS;
    count.textContent = length >= COUNT_FROM ? `${length} / ${MAX_CHARACTERS}` : "";
    count.classList.toggle("over", over);
    field.toggleAttribute("aria-invalid", over);
    // Set once when the limit is crossed, so that it is read out once.
    const message = over ? this.#strings["field.long"] : "";
    if (tooLong.textContent !== message) tooLong.textContent = message;
    return over;
  }

  #submit() {
    const { field } = this.#parts;
    const question = field.value.trim();
    const busy = this.#asking && !this.#handoff.withAgent;
    if (!question || busy || this.#count()) return;
    field.value = "";
    this.#count();
    this.#ask(question);
  }

  /** Keeps the newest words in sight, but never pushes their question out at the top, unless it
      would leave them less than half the room. */
  #follow(turn) {
    const { log } = this.#parts;
    const first = turn.asked.offsetHeight > log.clientHeight / 2 ? turn.answer : turn.node;
    log.scrollTop = Math.min(log.scrollHeight - log.clientHeight, first.offsetTop - ABOVE_PX);
  }

  async #ask(question) {
    if (this.#handoff.withAgent) {
      await this.#handoff.say(question);
      return;
    }
    if (this.#asking) return;
    const parts = this.#parts;
    const turn = new Turn(question, this.#locale, this.#hostOf());
    parts.log.querySelector(".welcome")?.remove();
    parts.log.append(turn.node);
    this.#announce("stage.retrieving");
    this.#setBusy(true);
    await this.#receive(turn, question);
    if (!this.#parts) return;
    this.#setBusy(false);
    if (turn.node.isConnected) this.#announce("turn.ended");
  }

  /** Swaps the send button for the stop button and keeps the focus with them. */
  #setBusy(busy) {
    const { send, stop, field } = this.#parts;
    const focused = this.shadowRoot.activeElement;
    send.hidden = busy;
    stop.hidden = !busy;
    // The control that asked may be gone: a suggestion, the send button. Where typing needs no
    // keyboard on the screen, the field is the better place to wait for the end.
    if (busy && (!focused || focused === send)) stop.focus();
    if (!busy && focused === stop) (this.#covering.matches ? send : field).focus();
  }

  /** Tells the page that the token is no longer taken; whether it set another one in time. */
  #newToken(refused, signal) {
    return new Promise((resolve) => {
      const end = (renewed) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", stopped);
        this.#renewed.delete(changed);
        resolve(renewed);
      };
      const changed = () => end(this.getAttribute("token") !== refused);
      const stopped = () => end(false);
      const timer = setTimeout(stopped, TOKEN_WAIT_MS);
      signal.addEventListener("abort", stopped);
      this.#renewed.add(changed);
      if (this.getAttribute("token") !== refused) {
        end(true);
        return;
      }
      this.dispatchEvent(
        new CustomEvent("zhunxin-token-expired", { bubbles: true, composed: true }),
      );
    });
  }

  /** Draws one answer to its end, whatever that is. renew: whether the page may still be asked for
      another token. */
  async #receive(turn, question, renew = true) {
    const controller = new AbortController();
    this.#asking = controller;
    const body = { message: question, locale: this.#locale };
    if (this.#conversation.value) body.conversation_id = this.#conversation.value;
    const token = this.getAttribute("token");
    try {
      for await (const event of readAnswer(this.endpoint, token, body, controller)) {
        const { conversation_id: id } = event.data;
        if (id) this.#conversation.value = id;
        if (event.data.handoff) this.#handoff.joined(event.data);
        turn.receive(event);
        this.#follow(turn);
      }
      if (!turn.ended) turn.fail({ key: "broken" });
    } catch (fault) {
      if (controller.signal.reason === "gone" || turn.ended) return;
      if (controller.signal.reason === "stopped") {
        turn.stop();
      } else if (fault instanceof Problem) {
        if (fault.status === 401 && token && renew) {
          if (await this.#newToken(token, controller.signal)) {
            await this.#receive(turn, question, false);
            return;
          }
          const { reason } = controller.signal;
          if (reason === "gone") return;
          if (reason === "stopped") {
            turn.stop();
            return;
          }
        }
        if (fault.status === 404 && body.conversation_id) {
          this.#conversation.value = null;
          turn.addOwnNotice("conversation.new");
          await this.#receive(turn, question, renew);
          return;
        }
        const { status, traceId } = fault;
        turn.fail({ text: fault.detail, key: "failed", status, traceId });
      } else {
        turn.fail({ key: navigator.onLine ? "broken" : "offline" });
      }
      this.#follow(turn);
    } finally {
      if (this.#asking === controller) this.#asking = null;
    }
  }
}
