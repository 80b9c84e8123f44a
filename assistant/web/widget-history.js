/* What was said before: drawn again after a reload, taken along as a file, and deleted. */

import { build, icon } from "./widget-dom.js";
import { Problem } from "./widget-stream.js";
import { say } from "./widget-strings.js";

async function request(endpoint, token, path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(new URL(`conversations/${path}`, endpoint), { headers, ...options });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  return response;
}

/** The turns of a conversation, the oldest first. Throws Problem. */
export async function readHistory(endpoint, token, id, signal) {
  const response = await request(endpoint, token, `${id}?newest=50`, { signal });
  return (await response.json()).turns;
}

async function download(endpoint, token, id, format, locale) {
  const path = `${id}/export?${new URLSearchParams({ format, locale })}`;
  const file = await (await request(endpoint, token, path)).blob();
  const address = URL.createObjectURL(file);
  build("a", { href: address, download: `zhunxin-${id.slice(0, 8)}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The menu behind the button with three dots, and the question before anything is deleted. */
export class HistoryMenu {
  #host;
  #asked;

  /** host: {endpoint, token, id, locale, strings, forget}, each a function. */
  constructor(host) {
    this.#host = host;
    const item = (key, act, kind = "") => {
      const button = build("button", { type: "button", class: kind || false, "data-say": key });
      button.addEventListener("click", act);
      return button;
    };
    this.items = [
      item("history.export.html", () => this.#export("html")),
      item("history.export.json", () => this.#export("json")),
      item("history.delete", () => this.#ask(), "danger"),
    ];
    this.told = build("p", { class: "small", role: "status" });
    this.summary = build("summary", { class: "icon", "data-label": "history.menu" }, icon("more"));
    this.node = build(
      "details",
      { class: "menu" },
      this.summary,
      build("div", {}, ...this.items, this.told),
    );
    this.node.addEventListener("toggle", () => this.#refresh());
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.node.open) return;
      event.preventDefault();
      this.#close();
    });
    this.node.addEventListener("focusout", ({ relatedTarget: next }) => {
      if (next && !this.node.contains(next)) this.node.open = false;
    });

    const keep = item("history.keep", () => this.dialog.close());
    keep.autofocus = true;
    this.#asked = item("history.delete.now", () => this.#delete(), "danger");
    this.failed = build("p", { class: "small", role: "alert" });
    this.dialog = build(
      "dialog",
      { class: "confirm", role: "alertdialog", "aria-labelledby": "ask", "aria-describedby": "why" },
      build("h2", { id: "ask", "data-say": "history.ask" }),
      build("p", { id: "why", "data-say": "history.why" }),
      this.failed,
      build("div", { class: "choices" }, keep, this.#asked),
    );
    this.dialog.addEventListener("close", () => {
      // Once it is deleted, the focus is where the next question is typed.
      if (this.#host.id()) this.summary.focus();
    });
  }

  get open() {
    return this.dialog.open;
  }

  #close() {
    this.node.open = false;
    this.summary.focus();
  }

  #refresh() {
    const none = !this.#host.id();
    for (const button of this.items) button.disabled = none;
    this.#tell(this.told, none ? "history.none" : "");
  }

  #tell(node, key) {
    node.dataset.say = key;
    if (key) say(node, this.#host.strings());
    else node.textContent = "";
  }

  async #export(format) {
    const { endpoint, token, id, locale } = this.#host;
    try {
      await download(endpoint(), token(), id(), format, locale());
      this.#tell(this.told, "history.exported");
    } catch {
      this.#tell(this.told, "history.failed");
    }
  }

  #ask() {
    this.node.open = false;
    this.#tell(this.failed, "");
    this.#asked.disabled = false;
    this.dialog.showModal();
  }

  async #delete() {
    const { endpoint, token, id, forget } = this.#host;
    this.#asked.disabled = true;
    try {
      await request(endpoint(), token(), id(), { method: "DELETE" });
    } catch (fault) {
      // One that is not known any more is as good as deleted.
      if (fault.status !== 404) {
        this.#asked.disabled = false;
        this.#tell(this.failed, "history.failed");
        return;
      }
    }
    forget();
    this.dialog.close();
  }
}
