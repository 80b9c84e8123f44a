/* The sheet that shows one clause with the quoted words marked. */

import { build, icon } from "./widget-dom.js";
import { longDate, say } from "./widget-strings.js";

function inForce({ effective_from: from, effective_to: to }, locale) {
  const key = from && to ? "between" : from ? "from" : to ? "to" : "open";
  return build("dd", {
    "data-say": `clause.force.${key}`,
    "data-from": from && longDate(from, locale),
    "data-to": to && longDate(to, locale),
  });
}

/** The clause's text with the first occurrence of the quote in <mark>. */
function marked(text, quote) {
  const at = quote ? text.indexOf(quote) : -1;
  if (at < 0) return [text];
  return [text.slice(0, at), build("mark", {}, quote), text.slice(at + quote.length)];
}

export class ClauseSheet {
  #opener = null;

  constructor() {
    this.close = this.close.bind(this);
    this.body = build("div", { class: "clause-body", tabindex: "0", role: "region" });
    this.heading = build("h2", { id: "clause-title" });
    const closer = build("button", { type: "button", class: "icon", "data-label": "clause.close" });
    closer.append(icon("close"));
    closer.addEventListener("click", this.close);
    this.node = build(
      "dialog",
      { class: "clause", "aria-labelledby": "clause-title" },
      build("header", {}, this.heading, closer),
      this.body,
    );
    // A click on the dialog itself, not on what is in it, is one on the veil around it.
    this.node.addEventListener("click", (event) => {
      if (event.target === this.node) this.close();
    });
    // The dialog returns the focus by itself, but not to a button Safari never focused on a click.
    this.node.addEventListener("close", () => this.#opener?.focus());
  }

  get open() {
    return this.node.open;
  }

  show(clause, opener, strings, locale) {
    this.#opener = opener;
    this.heading.textContent = clause.document;
    const facts = [
      ["clause.locator", build("dd", {}, clause.locator)],
      clause.version && ["clause.version", build("dd", {}, clause.version)],
      ["clause.force", inForce(clause, locale)],
      strings[`kind.${clause.kind}`] && [
        "clause.kind",
        build("dd", { "data-say": `kind.${clause.kind}` }),
      ],
    ].filter(Boolean);
    const list = build("dl");
    for (const [key, value] of facts) {
      list.append(build("div", {}, build("dt", { "data-say": key }), value));
    }
    const text = build("p", { class: "clause-text" }, ...marked(clause.text, clause.quote));
    this.body.replaceChildren(list);
    if (clause.digest) this.body.append(build("p", { class: "tag", "data-say": "digest" }));
    this.body.append(text);
    this.body.dataset.label = "clause.text";
    say(this.node, strings);
    this.node.showModal();
    this.body.scrollTop = 0;
    text.querySelector("mark")?.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.node.close();
  }
}
