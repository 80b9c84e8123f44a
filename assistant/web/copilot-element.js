/* <zhunxin-copilot>: the pane inside another desk, which hands it the conversation and takes what is
   inserted. It touches nothing of the page but itself. */

import { copilotPane } from "./copilot-pane.js";
import { build } from "./widget-dom.js";
import { eventsOf, Problem } from "./widget-stream.js";
import { chooseLocale, fill, loadStrings } from "./widget-strings.js";

const SHEETS = ["tokens.css", "knowledge.css", "copilot.css"];

export class ZhunxinCopilot extends HTMLElement {
  #pane = null;
  #words = {};
  #ready = null;
  #case = null;
  #said = build("p", { class: "unseen", role: "status" });
  #keys = (event) => this.#pane?.key(event);

  connectedCallback() {
    if (!this.shadowRoot) this.#ready = this.#start();
    this.addEventListener("keydown", this.#keys);
    if (this.hasAttribute("keys")) document.addEventListener("keydown", this.#keys);
  }

  disconnectedCallback() {
    this.removeEventListener("keydown", this.#keys);
    document.removeEventListener("keydown", this.#keys);
    this.#pane?.close();
  }

  /** The conversation as it is now: {id, turns: [{speaker, text, at}], borrower_token}; only what
      was sent belongs in it. Called again with each message. locale: the borrower's. */
  async show(transcript, { locale = "zh-Hans" } = {}) {
    await this.#ready;
    const before = this.#case?.transcript;
    this.#case = { transcript, locale };
    const last = transcript.turns.at(-1)?.speaker;
    if (before?.id !== transcript.id) this.#pane.open(this.#case, true);
    else if (last === "borrower") this.#pane.heard(this.#case);
    else this.#pane.answered(this.#case);
  }

  /** What the agent has sent: told so that suggestions can be measured. */
  async sent(text) {
    await this.#ready;
    if (!this.#case) return;
    this.#follow({ kind: "sent", suggestion_id: this.#pane.suggestionId, variant: "", text });
  }

  /** What the rules say of a draft: {verdict, findings}. */
  async check(text, signal) {
    await this.#ready;
    return this.#pane.check(text, signal);
  }

  /** Asks how the conversation is closed; what was kept, or null. */
  async wrapUp() {
    await this.#ready;
    if (!this.#case) return null;
    const kept = await this.#pane.wrapUp(this.shadowRoot, {});
    if (kept) this.#tell("zhunxin-wrapped-up", kept);
    return kept;
  }

  get #endpoint() {
    return this.getAttribute("endpoint") || new URL("../", import.meta.url).href;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  async #start() {
    const root = this.attachShadow({ mode: "open" });
    const locale = chooseLocale([this.getAttribute("locale"), ...navigator.languages]);
    const sheets = SHEETS.map((name) => build("link", { rel: "stylesheet", href: new URL(`./${name}`, import.meta.url).href }));
    root.append(...sheets, this.#said);
    this.#words = await loadStrings(locale, "copilot");
    const host = {
      locale,
      words: this.#words,
      keysMore: [],
      t: (key, values) => fill(this.#words[key] ?? key, values),
      call: (path, options) => this.#call(path, options),
      stream: (path, body, signal) => this.#stream(path, body, signal),
      isFault: (error) => error instanceof Problem,
      announce: (text) => (this.#said.textContent = text),
      insert: (made) => this.#tell("zhunxin-insert", made),
      followed: (told) => this.#follow(told),
      wrapUp: () => this.wrapUp(),
    };
    this.#pane = copilotPane(host);
    const body = build("div", { class: "inside", lang: locale }, this.#pane.node);
    root.append(body);
  }

  async #follow(told) {
    try {
      const body = { conversation: this.#case.transcript.id, ...told };
      await this.#call("/v1/copilot/events", { method: "POST", body });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  async #fetch(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
    const headers = { Accept: accept, Authorization: `Bearer ${this.getAttribute("token") ?? ""}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      const address = new URL(path.replace(/^\//, ""), this.#endpoint);
      response = await fetch(address, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw worded(new Problem(0, {}), this.#words);
    }
    if (response.status === 401) this.#tell("zhunxin-token-expired", {});
    if (!response.ok) {
      const told = await response.json().catch(() => ({}));
      throw Object.assign(worded(new Problem(response.status, told), this.#words), { code: told.code ?? "" });
    }
    return response;
  }

  async #call(path, options) {
    return (await this.#fetch(path, options)).json();
  }

  async *#stream(path, body, signal) {
    const response = await this.#fetch(path, { method: "POST", body, signal, accept: "text/event-stream" });
    yield* eventsOf(response, () => {});
  }
}

/** With the server's words for staff, or ours where it had none. */
function worded(problem, words) {
  problem.message = problem.detail;
  problem.told = problem.detail || words[`fault.${problem.status}`] || words["fault.other"];
  return problem;
}
