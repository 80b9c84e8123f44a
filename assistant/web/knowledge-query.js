/* A query tried: what is found for it, and why. */

import {
  announce, audiences, badge, build, call, empty, failure, Failure, field, force, kinds, linkToClause,
  query, says, select, skeleton, t,
} from "./knowledge-kit.js";

/** What was asked stays while the page is open. */
const asked = { query: "", as_of: "", contract_date: "", kind: "", product: "", audience: "borrower" };

export async function showQuery(place, { values, signal }) {
  for (const name of Object.keys(asked)) {
    if (values.has(name)) asked[name] = values.get(name);
  }
  const { products } = await call("/v1/knowledge/documents", { signal });
  const controls = {
    query: build("textarea", { rows: "2", maxlength: "2000", required: true, placeholder: t("query.hint") }),
    as_of: build("input", { type: "date" }),
    contract_date: build("input", { type: "date" }),
    kind: select(kinds(t("all"))),
    product: select([["", t("all")], ...Object.entries(products)]),
    audience: select(audiences(null).slice(1)),
  };
  for (const [name, control] of Object.entries(controls)) control.value = asked[name];
  const result = build("div", { id: "hits" });
  const form = build(
    "form",
    { class: "filters" },
    field(t("query.question"), controls.query, { class: "field whole" }),
    field(t("query.as_of"), controls.as_of),
    field(t("query.contract_date"), controls.contract_date),
    field(t("kind"), controls.kind),
    field(t("product"), controls.product),
    field(t("audience"), controls.audience),
    build("button", { type: "submit", class: "strong" }, t("query.search")),
  );

  async function search() {
    for (const [name, control] of Object.entries(controls)) asked[name] = control.value;
    // The address can be sent to a colleague; it is replaced, so that going back leaves the view.
    history.replaceState(null, "", `#/query${query(asked)}`);
    result.replaceChildren(skeleton());
    const body = Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
    try {
      const found = await call("/v1/search", { method: "POST", body: { k: 10, ...body }, signal });
      result.replaceChildren(...hits(found));
      announce(t("query.found", { count: found.hits.length }));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      result.replaceChildren(failure(error, search));
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  controls.query.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  place.append(form, result);
  if (asked.query) await search();
  else result.append(empty(t("query.none")));
}

function hits(found) {
  const verdict = build(
    "p",
    { class: `verdict ${found.covered ? "covered" : "refused"}` },
    build("strong", {}, t(found.covered ? "query.covered" : "query.refused")),
    " ",
    t(found.covered ? "query.covered.about" : "query.refused.about"),
  );
  const { embed_ms, dense_ms, lexical_ms, total_ms } = found.timings;
  const times = build(
    "p",
    { class: "small figures" },
    t("query.timings", {
      embed: embed_ms.toFixed(1), dense: dense_ms.toFixed(1), lexical: lexical_ms.toFixed(1), total: total_ms.toFixed(1),
    }),
  );
  if (!found.hits.length) return [verdict, times, empty(t("query.no_hits"))];
  const parts = found.hits.flatMap((hit) => Object.entries(hit.why));
  const names = [...new Set(parts.filter(([, part]) => part).map(([name]) => name))];
  const most = Math.max(...found.hits.flatMap((hit) => Object.values(hit.why)), 0.01);
  const list = build("ol", { class: "hits" });
  found.hits.forEach((hit, at) => list.append(hitItem(hit, at + 1, names, most)));
  return [verdict, times, list];
}

function hitItem(hit, number, names, most) {
  const link = linkToClause(hit.source, hit.clause_id);
  const matched = build("p", { class: "row small" });
  if (hit.matched.length) {
    matched.append(t("query.matched"), ...hit.matched.map((word) => badge("plain", word)));
  }
  return build(
    "li",
    { class: "card hit" },
    build(
      "div",
      { class: "found" },
      build(
        "p",
        {},
        build("span", { class: "figures number" }, `${number}`),
        build("a", { href: link, class: "title" }, `${hit.document} › ${hit.locator}`),
        hit.held ? badge("stale", t("held")) : "",
      ),
      build("p", { class: "small" }, [t(`kind.${hit.kind}`), hit.version, force(hit)].filter(Boolean).join(" · ")),
      build("p", { class: "text" }, ...withMatches(hit.text, hit.matched)),
      matched,
    ),
    build("div", { class: "why" }, scores(hit, names, most)),
  );
}

/** The text with the words of the question in <mark>. */
function withMatches(text, matched) {
  const parts = [];
  let at = 0;
  const words = matched.filter(Boolean).sort((one, other) => other.length - one.length);
  while (at < text.length) {
    let first = null;
    for (const word of words) {
      const found = text.indexOf(word, at);
      if (found >= 0 && (!first || found < first.found)) first = { found, word };
    }
    if (!first) break;
    parts.push(text.slice(at, first.found), build("mark", {}, first.word));
    at = first.found + first.word.length;
  }
  parts.push(text.slice(at));
  return parts;
}

function scores(hit, names, most) {
  const list = build("dl", { class: "scores" });
  const put = (name, value, share, kind) => {
    const bar = build("span", { class: `meter ${kind}` }, build("span", { class: "fill" }));
    bar.firstChild.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    list.append(
      build("dt", {}, name),
      build("dd", { class: "figures" }, bar, value.toFixed(3)),
    );
  };
  put(t("score.total"), hit.score, hit.score, "total");
  for (const name of names) {
    const part = hit.why[name] ?? 0;
    put(says(`score.${name}`) ? t(`score.${name}`) : name, part, Math.abs(part) / most, part < 0 ? "minus" : "part");
  }
  put(t("score.cosine"), hit.dense, hit.dense, "raw");
  return list;
}
