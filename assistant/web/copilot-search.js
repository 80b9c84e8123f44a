/* Search over all material, agents' too, as of any day; each clause can be copied as a citation. */

import { badge, clauseBody, tried } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

const MOST = 8;

export function searchView(host) {
  const { t } = host;
  const words = build("input", { type: "search", maxlength: "2000", required: true, "aria-label": t("search"), placeholder: t("search.hint") });
  const asOf = build("input", { type: "date", "aria-label": t("search.as_of"), title: t("search.as_of") });
  const go = build("button", { class: "strong small-button" }, t("search.go"));
  const form = build("form", { class: "search" }, words, asOf, go);
  const hits = build("ol", { class: "hits" });
  const about = build("p", { class: "small", role: "status" }, t("search.about"));
  const node = build("div", { class: "tab-body" }, form, about, hits);
  let running = new AbortController();

  function item(hit) {
    const place = build("div");
    const line = build(
      "details",
      { class: "clause-line", "data-clause": hit.clause_id },
      build("summary", {}, build("strong", {}, `${hit.document} › ${hit.locator.split(" > ").at(-1)}`), " ", hit.held ? badge("stale", t("search.held")) : "", build("span", { class: "preview" }, hit.text)),
      place,
    );
    line.addEventListener("toggle", () => {
      if (!line.open) return;
      tried(host, place, async () => {
        const clause = await host.call(`/v1/copilot/clauses/${hit.clause_id.split("/").map(encodeURIComponent).join("/")}`);
        place.replaceChildren(clauseBody(host, { ...hit, ...clause }));
      });
    });
    return build("li", {}, line);
  }

  async function search() {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    hits.setAttribute("aria-busy", "true");
    await tried(host, hits, async () => {
      const body = { query: words.value, k: MOST, audience: "agent", ...(asOf.value ? { as_of: asOf.value } : {}) };
      const found = await host.call("/v1/search", { method: "POST", body, signal });
      hits.replaceChildren(...found.hits.map(item));
      about.textContent = t(found.hits.length ? "search.found" : "search.none", { count: found.hits.length });
    });
    hits.removeAttribute("aria-busy");
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (words.value.trim()) search();
  });
  asOf.addEventListener("change", () => {
    if (words.value.trim()) search();
  });
  return { node, focus: () => words.focus() };
}
