/* What a person should look at: dates found in the text, what rules hold against clauses, clauses that
   say the same, and clauses that contradict each other. */

import {
  announce, badge, build, button, call, empty, failure, Failure, field, fillWith, linkTo, linkToClause, locale, note,
  said, t,
} from "./knowledge-kit.js";

const SHOWN = 20;

export async function showFindings(place, { signal, mayChange }) {
  await fillWith(
    place,
    async () => {
      const found = await call("/v1/knowledge/findings", { signal });
      if (!found.reviewed) return empty(t("findings.unreviewed"));
      return [
        section("findings.dates", found.dates.length, t("findings.dates.about"), t("findings.dates.none"), [
          ...found.dates.map((document) => dates(document, mayChange)),
        ]),
        broken(found.rules, mayChange),
        pairs("contradictions", found.contradictions, found.contradiction_count),
        pairs("duplicates", found.duplicates, found.duplicate_count),
      ];
    },
    signal,
  );
}

function section(key, count, about, none, items) {
  return build(
    "section",
    {},
    build("h2", {}, `${t(key)} `, badge("plain", String(count))),
    build("p", { class: "small" }, about),
    ...(items.length ? items : [empty(none)]),
  );
}

// Dates

function dates({ document, found }, mayChange) {
  const from = build("input", { type: "date" });
  const to = build("input", { type: "date" });
  from.value = document.effective_from ?? "";
  to.value = document.effective_to ?? "";
  const list = build("ul", { class: "plain-list" });
  for (const one of found) {
    const item = build(
      "li",
      {},
      build("strong", {}, `${t(`column.${one.field}`)} ${one.value}`),
      build("span", { class: "small" }, ` ${one.locator}`),
      build("p", { class: "quote" }, one.quote),
    );
    if (one.note) item.append(build("p", { class: "small" }, said(one.note)));
    list.append(item);
  }
  const told = build("div");
  const node = build(
    "article",
    { class: "card" },
    build(
      "p",
      {},
      build("a", { href: linkTo("documents", document.source), class: "title" }, document.title),
      build("span", { class: "small source" }, document.source),
    ),
    list,
  );
  const form = build(
    "form",
    { class: "filters" },
    field(t("upload.from"), from),
    field(t("upload.to"), to),
  );
  const confirm = build("button", { type: "submit", class: "strong" });
  const word = () => {
    const same = !changed(from, document.effective_from) && !changed(to, document.effective_to);
    confirm.textContent = t(same ? "findings.confirm" : "findings.correct");
  };
  word();
  from.addEventListener("input", word);
  to.addEventListener("input", word);
  if (mayChange) form.append(confirm);
  else from.disabled = to.disabled = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    confirm.disabled = true;
    try {
      await call("/v1/knowledge/confirmations", {
        method: "POST",
        body: {
          source: document.source,
          sha256: document.sha256,
          effective_from: changed(from, document.effective_from),
          effective_to: changed(to, document.effective_to),
        },
      });
      const done = t("findings.confirmed", { title: document.title });
      node.replaceChildren(note(done, "good"));
      announce(done);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      confirm.disabled = false;
      told.replaceChildren(failure(error));
    }
  });
  node.append(form, told);
  return node;
}

/** What is said of a date: null where it stays as it is, `open` where it is taken away. */
function changed(input, before) {
  if (input.value === (before ?? "")) return null;
  return input.value || "open";
}

// Rules

function broken(found, mayChange) {
  return listed("rules", found, found.length, (one) => brokenClause(one, mayChange));
}

function brokenClause(one, mayChange) {
  const told = build("div");
  const list = build("ul", { class: "plain-list" });
  for (const flaw of one.flaws) {
    const title = locale === "en" ? flaw.title_en : flaw.title;
    list.append(
      build(
        "li",
        {},
        badge(flaw.severity === "block" ? "failed" : "stale", t(`findings.severity.${flaw.severity}`)),
        build("span", { class: "small" }, ` ${flaw.rule} ${title}`),
      ),
    );
  }
  const node = build(
    "article",
    { class: "card" },
    build(
      "p",
      {},
      build("a", { href: linkToClause(one.source, one.clause_id), class: "title" }, `${one.title} › ${one.locator}`),
      build("span", { class: "small source" }, one.source),
    ),
    build("p", { class: "text" }, ...withFlaws(one.text, one.flaws)),
    list,
  );
  if (one.held) node.append(build("p", { class: "small" }, t("findings.held")));
  if (!mayChange || !one.confirmable) return node;
  const stand = button(t("findings.stand"), { class: "strong" }, async () => {
    stand.disabled = true;
    try {
      await call("/v1/knowledge/clearances", {
        method: "POST",
        body: { clause_id: one.clause_id, sha256: one.sha256 },
      });
      const done = t("findings.stands", { title: one.title, locator: one.locator });
      node.replaceChildren(note(done, "good"));
      announce(done);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      stand.disabled = false;
      told.replaceChildren(failure(error));
    }
  });
  node.append(build("div", { class: "row" }, stand), told);
  return node;
}

/** The text with what the rules are about in <mark>. Places are counted in characters, not in units. */
function withFlaws(text, flaws) {
  const characters = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end } of [...flaws].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const from = Math.max(at, start);
    if (end <= from) continue;
    parts.push(characters.slice(at, from).join(""), build("mark", {}, characters.slice(from, end).join("")));
    at = end;
  }
  parts.push(characters.slice(at).join(""));
  return parts;
}

// Pairs

function pairs(kind, found, count) {
  return listed(kind, found, count, pair);
}

/** A section that shows some of its findings at a time. */
function listed(kind, found, count, show) {
  const list = build("div", { class: "findings" });
  let shown = 0;
  const more = button("", { class: "plain" }, next);

  function next() {
    list.append(...found.slice(shown, shown + SHOWN).map(show));
    shown = Math.min(found.length, shown + SHOWN);
    more.hidden = shown >= found.length;
    more.textContent = t("more", { count: found.length - shown });
  }

  next();
  const items = found.length ? [list, more] : [];
  return section(`findings.${kind}`, count, t(`findings.${kind}.about`), t(`findings.${kind}.none`), items);
}

function pair(finding) {
  return build("article", { class: "card pair" }, side(finding.a), side(finding.b));
}

/** A figure comes as its kind, its unit and its value. */
function shown(figure) {
  const [, unit, ...value] = figure.split(" ");
  return unit === "-" ? value.join(" ") : `${value.join(" ")} ${unit}`;
}

function side(one) {
  const link = linkToClause(one.source, one.clause_id);
  const figures = build("p", { class: "row small" });
  if (one.figures.length) {
    figures.append(t("findings.figures"), ...one.figures.map((figure) => badge("changed", shown(figure))));
  }
  return build(
    "div",
    { class: "side" },
    build("p", { class: "locator" }, build("a", { href: link }, `${one.title} › ${one.locator}`)),
    build("p", { class: "small source" }, one.source),
    build("p", { class: "text" }, one.text),
    figures,
  );
}
