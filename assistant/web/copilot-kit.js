/* Small parts of the copilot, which stand on a page of ours and inside another desk alike.

   host: {t, locale, words, call, stream, isFault, announce, insert, followed}: wording and requests
   of whoever shows the pane. */

import { build } from "./widget-dom.js";
import { longDate } from "./widget-strings.js";

const SIGNS = { block: "failed", fix: "stale", warn: "plain", pass: "current" };
const RANK = { warn: 1, fix: 2, block: 3 };
const COPIED_MS = 2000;

export function button(text, attributes = {}, onClick = null) {
  const node = build("button", { type: "button", ...attributes }, text);
  if (onClick) node.addEventListener("click", onClick);
  return node;
}

export function badge(kind, text, attributes = {}) {
  return build("span", { class: `badge ${kind}`, ...attributes }, text);
}

/** What the rules say of a text, with the worst finding in words. */
export function verdictSign(host, { verdict, findings = [] }) {
  const [worst] = [...findings].sort((one, other) => RANK[other.severity] - RANK[one.severity]);
  const title = worst && (host.locale === "en" ? worst.title_en : worst.title);
  const sign = badge(SIGNS[verdict] ?? "plain", host.t(`verdict.${verdict}`), { "data-verdict": verdict });
  if (!title) return sign;
  return build("span", { class: "row" }, sign, build("span", { class: "small", lang: host.locale === "en" ? "en" : "zh-Hans" }, title));
}

/** The last part of where a clause stands: the whole of it is shown when it is opened. */
export function shortPlace({ document, locator }) {
  return `${document} ${locator.split(" > ").at(-1)}`;
}

function inForce(host, { effective_from: from, effective_to: to }) {
  const day = (iso) => longDate(iso, host.locale);
  if (from && to) return host.t("force.between", { from: day(from), to: day(to) });
  if (from) return host.t("force.from", { from: day(from) });
  return to ? host.t("force.to", { to: day(to) }) : host.t("force.open");
}

function marked(text, quote) {
  const at = quote ? text.indexOf(quote) : -1;
  if (at < 0) return [text];
  return [text.slice(0, at), build("mark", {}, quote), text.slice(at + quote.length)];
}

/** The clause's words, with the quoted ones marked, and the citation to copy. */
export function clauseBody(host, clause) {
  return build(
    "div",
    { class: "clause-body" },
    build("p", { class: "small" }, [clause.document, clause.version, clause.locator, inForce(host, clause)].filter(Boolean).join(" · ")),
    clause.internal ? build("p", { class: "small internal" }, host.t("internal.about")) : "",
    build("p", { class: "clause-text" }, ...marked(clause.text, clause.quote)),
    build("p", {}, copyCitation(host, clause.clause_id)),
  );
}

/** A clause in one line, which opens in place. */
export function clauseLine(host, clause) {
  const place = build("div");
  const line = build(
    "details",
    { class: "clause-line", "data-clause": clause.clause_id },
    build("summary", {}, shortPlace(clause), clause.internal ? badge("stale", host.t("internal")) : ""),
    place,
  );
  line.addEventListener("toggle", () => {
    if (line.open && !place.firstChild) place.append(clauseBody(host, clause));
  });
  return line;
}

/** Copies document, version, place and quote; where that is not allowed they are shown to be copied. */
export function copyCitation(host, clauseId) {
  const copy = button(host.t("copy"), { class: "quiet" }, async () => {
    let citation = "";
    try {
      ({ citation } = await host.call(`/v1/copilot/clauses/${clauseId.split("/").map(encodeURIComponent).join("/")}`));
    } catch (error) {
      if (!host.isFault(error)) throw error;
      host.announce(error.told);
      return;
    }
    try {
      await navigator.clipboard.writeText(citation);
      copy.textContent = host.t("copied");
      host.announce(host.t("copied"));
      setTimeout(() => (copy.textContent = host.t("copy")), COPIED_MS);
    } catch {
      const shown = build("input", { readonly: true, value: citation, "aria-label": host.t("copy") });
      copy.after(shown);
      shown.select();
    }
  });
  return copy;
}

/** What went wrong, with a way to try again. */
export function fault(host, error, retry) {
  return build(
    "div",
    { class: "failure", role: "alert" },
    build("p", {}, error.message || error.told),
    button(host.t("retry"), { class: "plain" }, retry),
  );
}

/** Does it, and shows in `place` what went wrong. */
export async function tried(host, place, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!host.isFault(error)) throw error;
    place.replaceChildren(fault(host, error, () => tried(host, place, work)));
  }
}
