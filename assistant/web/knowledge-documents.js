/* The documents of the live release; one document with its versions and its clauses. */

import {
  announce, audiences, badge, build, button, call, copyLink, day, empty, failure, Failure, field, fillWith, force,
  kinds, linkTo, linkToClause, note, query, said, select, stateBadge, t, table,
} from "./knowledge-kit.js";
import { timeline } from "./knowledge-timeline.js";

const ROWS = 200;
const CLAUSES = 200;

/** What was filtered by stays while the page is open. */
const wanted = { text: "", kind: "", product: "", audience: "", state: "", stale: false };

function staleReason(document) {
  return t(`stale.${document.stale.reason}`, { since: document.stale.since });
}

function staleBadge(document) {
  if (!document.stale) return "";
  const kind = document.stale.reason === "replaced" ? "plain" : "stale";
  return badge(kind, t(`stale.badge.${document.stale.reason}`), { title: staleReason(document) });
}

function productName(products, key) {
  return key ? (products[key] ?? key) : "";
}

// The list

function fits(document, folded) {
  const searched = `${document.title}\n${document.source}\n${document.document_no}\n${document.issuer}`;
  return (
    (!wanted.kind || document.kind === wanted.kind) &&
    (!wanted.product || document.product === wanted.product) &&
    (!wanted.audience || document.audience === wanted.audience) &&
    (!wanted.state || document.state === wanted.state) &&
    (!wanted.stale || document.stale) &&
    folded.every((word) => searched.toLowerCase().includes(word))
  );
}

export async function showDocuments(place, { signal, values, mayChange }) {
  if (values.get("stale")) wanted.stale = true;
  await fillWith(
    place,
    async () => {
      const shelf = await call("/v1/knowledge/documents", { signal });
      if (!shelf.documents.length) {
        const toUpload = build("a", { href: "#/upload", class: "strong" }, t("documents.upload"));
        return empty(t("documents.none"), mayChange ? toUpload : "");
      }
      return list(shelf);
    },
    signal,
  );
}

function list({ documents, products, release }) {
  const results = build("div", { id: "documents" });
  const count = build("p", { class: "count", "aria-live": "polite" });
  const search = build("input", { type: "search", placeholder: t("documents.search.hint") });
  search.value = wanted.text;
  const stale = documents.filter((document) => document.stale);
  const controls = {
    kind: select(kinds(t("all")), wanted.kind),
    product: select(
      [["", t("all")], ...Object.entries(products)],
      wanted.product,
    ),
    audience: select(audiences(t("all")), wanted.audience),
    state: select(
      [["", t("all")], ...["current", "future", "past"].map((s) => [s, t(`state.${s}`)])],
      wanted.state,
    ),
  };
  const onlyStale = build("input", { type: "checkbox" });
  onlyStale.checked = wanted.stale;
  let shown = ROWS;

  function refresh() {
    wanted.text = search.value;
    wanted.stale = onlyStale.checked;
    for (const [name, control] of Object.entries(controls)) wanted[name] = control.value;
    const folded = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = documents.filter((document) => fits(document, folded));
    count.textContent = t("documents.count", { shown: found.length, all: documents.length });
    if (!found.length) {
      results.replaceChildren(empty(t("documents.no_match"), button(t("documents.reset"), { class: "plain" }, reset)));
      return;
    }
    results.replaceChildren(rows(found.slice(0, shown), products));
    if (found.length > shown) {
      const more = button(t("more", { count: found.length - shown }), { class: "plain" }, () => {
        shown += ROWS;
        refresh();
      });
      results.append(more);
    }
  }

  function reset() {
    search.value = "";
    onlyStale.checked = false;
    for (const control of Object.values(controls)) control.value = "";
    refresh();
    search.focus();
  }

  for (const control of [search, onlyStale, ...Object.values(controls)]) {
    control.addEventListener("input", refresh);
  }
  refresh();
  const tick = build("label", { class: "tick" }, onlyStale, t("documents.stale", { count: stale.length }));
  return [
    build(
      "form",
      { class: "filters", role: "search" },
      field(t("documents.search"), search, { class: "field wide" }),
      field(t("kind"), controls.kind),
      field(t("product"), controls.product),
      field(t("audience"), controls.audience),
      field(t("state"), controls.state),
      tick,
    ),
    build(
      "div",
      { class: "between" },
      count,
      build("p", { class: "small" }, t("documents.release", { release })),
    ),
    results,
  ];
}

function rows(documents, products) {
  const columns = ["title", "kind", "product", "audience", "force", "reviewed", "clauses"];
  return table(
    t("view.documents"),
    columns.map((name) => t(`column.${name}`)),
    documents.map((document) => ({
      attributes: { "data-source": document.source },
      cells: [
        [
          build("a", { href: linkTo("documents", document.source), class: "title" }, document.title),
          document.digest ? badge("plain", t("digest")) : "",
          build("span", { class: "small source" }, document.source),
        ],
        t(`kind.${document.kind}`),
        productName(products, document.product) || "–",
        t(`audience.${document.audience}`),
        [stateBadge(document.state), build("span", { class: "dates" }, force(document))],
        [
          build("span", { class: "figures" }, document.reviewed ?? "–"),
          staleBadge(document),
        ],
        build("span", { class: "figures" }, String(document.clauses)),
      ],
    })),
  );
}

// One document

export async function showDocument(place, context) {
  const { parts, values, signal, heading } = context;
  const source = parts.join("/");
  const address = `/v1/knowledge/documents/${source.split("/").map(encodeURIComponent).join("/")}`;
  const chosen = values.get("clause") ?? "";
  await fillWith(
    place,
    async () => {
      const [series, shelf, page] = await Promise.all([
        call(`${address}/versions`, { signal }),
        call("/v1/knowledge/documents", { signal }),
        call(`${address}/clauses${query({ clause_id: chosen, limit: CLAUSES })}`, { signal }),
      ]);
      heading.textContent = page.document.title;
      return [
        build("p", {}, build("a", { href: "#/documents" }, t("documents.back"))),
        head(page.document, shelf, () => showDocument(place, context), context.mayChange),
        versions(series, source, signal),
        clauses(page, address, chosen, signal),
      ];
    },
    signal,
  );
  const clause = place.querySelector(".clause.chosen");
  if (clause) {
    clause.scrollIntoView({ block: "center" });
    clause.focus({ preventScroll: true });
  }
}

function head(document, { products, today }, again, mayChange) {
  const facts = [
    ["source", document.source],
    ["kind", t(`kind.${document.kind}`)],
    ["product", productName(products, document.product)],
    ["audience", t(`audience.${document.audience}`)],
    ["version", document.version],
    ["document_no", document.document_no],
    ["issuer", document.issuer],
    ["reviewed", day(document.reviewed) || t("reviewed.never")],
    ["clauses", String(document.clauses)],
    ["pages", document.pages ? String(document.pages) : ""],
    ["sha256", document.sha256.slice(0, 12)],
  ].filter(([, value]) => value);
  const list = build("dl", { class: "facts" });
  for (const [name, value] of facts) {
    list.append(build("div", {}, build("dt", {}, t(`column.${name}`)), build("dd", {}, value)));
  }
  const box = build(
    "section",
    { class: "card" },
    build("p", { class: "row" }, stateBadge(document.state), force(document), staleBadge(document)),
  );
  if (document.stale) {
    box.append(note(staleReason(document), document.stale.reason === "replaced" ? "" : "stale"));
  }
  if (document.digest) box.append(note(t("digest.note")));
  for (const warning of document.warnings) box.append(note(said(warning)));
  box.append(list);
  if (mayChange && document.state === "current" && document.reviewed !== today) {
    box.append(reviewButton(document, today, again));
  }
  return box;
}

function reviewButton(document, today, again) {
  const told = build("div");
  const pressed = button(t("reviewed.mark"), { class: "plain" }, async () => {
    pressed.disabled = true;
    try {
      await call("/v1/knowledge/confirmations", {
        method: "POST",
        body: { source: document.source, sha256: document.sha256, reviewed: today },
      });
      announce(t("reviewed.marked"));
      await again();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      pressed.disabled = false;
      told.replaceChildren(failure(error));
    }
  });
  return build("div", { class: "stack" }, pressed, told);
}

function versions({ versions: all, today }, source, signal) {
  const columns = ["version", "state", "force", "clauses", "compare"].map((name) => t(`column.${name}`));
  const list = table(
    t("versions.title"),
    columns,
    all.map((version, at) => {
      const earlier = all[at - 1];
      const compare = earlier
        ? build(
            "a",
            { href: `#/diff${query({ before: earlier.source, after: version.source })}` },
            t("versions.compare", { version: earlier.version || earlier.title }),
          )
        : "–";
      const here = version.source === source;
      return {
        attributes: here ? { class: "here", "aria-current": "true" } : {},
        cells: [
          build("a", { href: linkTo("documents", version.source) }, version.version || version.title),
          stateBadge(version.state),
          build("span", { class: "dates" }, force(version)),
          build("span", { class: "figures" }, String(version.clauses)),
          compare,
        ],
      };
    }),
  );
  return build(
    "section",
    { class: "card" },
    build("h2", {}, t("versions.title")),
    timeline(all, today, source, signal),
    list,
  );
}

function clauses(page, address, chosen, signal) {
  const list = build("ol", { class: "clauses" });
  const count = build("p", { class: "count" });
  let first = page.offset;
  let end = page.offset;
  const earlier = button("", { class: "plain" }, () => load(Math.max(0, first - CLAUSES), first - Math.max(0, first - CLAUSES)));
  const later = button("", { class: "plain" }, () => load(end, CLAUSES));

  function put(found) {
    const nodes = found.clauses.map((clause) => clauseItem(clause, page.document, chosen));
    if (found.offset < first) {
      list.prepend(...nodes);
      first = found.offset;
    } else {
      list.append(...nodes);
      end = found.offset + found.clauses.length;
    }
    list.setAttribute("start", first + 1);
    earlier.hidden = first === 0;
    earlier.textContent = t("clauses.earlier", { count: first });
    later.hidden = end >= page.total;
    later.textContent = t("more", { count: page.total - end });
    count.textContent = t("clauses.count", { first: first + 1, last: end, all: page.total });
  }

  async function load(offset, limit) {
    put(await call(`${address}/clauses${query({ offset, limit })}`, { signal }));
    announce(count.textContent);
  }

  put(page);
  return build(
    "section",
    { class: "card" },
    build("h2", {}, t("clauses.title")),
    build("p", { class: "small" }, t("clauses.about")),
    count,
    earlier,
    list,
    later,
  );
}

function clauseItem(clause, document, chosen) {
  const hash = linkToClause(document.source, clause.clause_id);
  const copy = button(t("link.copy"), { class: "quiet", "aria-label": t("link.copy.clause", { locator: clause.locator }) });
  copy.addEventListener("click", () => copyLink(hash, copy));
  const own =
    clause.effective_from !== document.effective_from || clause.effective_to !== document.effective_to;
  return build(
    "li",
    {
      class: clause.clause_id === chosen ? "clause chosen" : "clause",
      id: `clause-${clause.clause_id}`,
      tabindex: "-1",
    },
    build(
      "div",
      { class: "between" },
      build(
        "p",
        { class: "locator" },
        build("span", { class: "figures number" }, `${clause.number}`),
        clause.locator,
        clause.held ? badge("stale", t("held")) : "",
        clause.page ? badge("plain", t("page", { page: clause.page })) : "",
        own ? badge("plain", force(clause)) : "",
      ),
      copy,
    ),
    build("p", { class: "text" }, clause.text),
  );
}
