/* Two versions of a document side by side. */

import {
  announce, badge, build, button, call, empty, field, fillWith, force, note, query, stateBadge, t, table,
} from "./knowledge-kit.js";

/** Documents by title of their series, those with several versions first. */
function picker(documents, value) {
  const groups = new Map();
  for (const document of documents) {
    const key = `${document.series || document.title}\n${document.product}`;
    groups.set(key, [...(groups.get(key) ?? []), document]);
  }
  const node = build("select", { required: true });
  node.append(build("option", { value: "" }, t("diff.choose")));
  const sorted = [...groups.values()].sort((one, other) => (other.length > 1) - (one.length > 1));
  for (const group of sorted) {
    group.sort((one, other) => (one.effective_from ?? "").localeCompare(other.effective_from ?? ""));
    const held = build("optgroup", { label: group.at(-1).title });
    for (const document of group) {
      const name = [document.version || document.title, t(`state.${document.state}`), document.source];
      held.append(build("option", { value: document.source }, name.join(" · ")));
    }
    node.append(held);
  }
  node.value = value;
  return node;
}

export async function showDiff(place, { values, signal }) {
  const before = values.get("before") ?? "";
  const after = values.get("after") ?? "";
  const releases = {
    before_release: values.get("before_release") ?? "",
    after_release: values.get("after_release") ?? "",
  };
  const result = build("div", { id: "diff" });
  await fillWith(
    place,
    async () => {
      const { documents } = await call("/v1/knowledge/documents", { signal });
      if (!documents.length) return empty(t("documents.none"));
      const pick = { before: picker(documents, before), after: picker(documents, after) };
      const go = () => {
        if (pick.before.value && pick.after.value) {
          location.hash = `#/diff${query({ before: pick.before.value, after: pick.after.value })}`;
        }
      };
      const swap = button(t("diff.swap"), { class: "plain" }, () => {
        [pick.before.value, pick.after.value] = [pick.after.value, pick.before.value];
        go();
      });
      pick.before.addEventListener("change", go);
      pick.after.addEventListener("change", go);
      return [
        build(
          "form",
          { class: "filters pair" },
          field(t("diff.before"), pick.before, { class: "field wide" }),
          field(t("diff.after"), pick.after, { class: "field wide" }),
          swap,
        ),
        result,
      ];
    },
    signal,
  );
  if (!before || !after) {
    result.append(empty(t("diff.none")));
    return;
  }
  await fillWith(
    result,
    async () => {
      const found = await call(`/v1/knowledge/diff${query({ before, after, ...releases })}`, { signal });
      return compared(found, signal);
    },
    signal,
  );
}

const CHANGES = ["changed", "added", "removed", "moved"];

function compared(found, signal) {
  const changes = CHANGES.filter((name) => found.counts[name]);
  const summary = build("p", { class: "row" });
  for (const name of changes) {
    summary.append(badge(name, t(`diff.count.${name}`, { count: found.counts[name] })));
  }
  summary.append(badge("plain", t("diff.count.same", { count: found.counts.same ?? 0 })));
  const only = build("input", { type: "checkbox" });
  only.checked = true;
  const grid = build("div", { class: "diff", "data-only": "true" });
  only.addEventListener("input", () => (grid.dataset.only = only.checked));
  grid.append(
    build(
      "div",
      { class: "pair heads" },
      versionHead("diff.before", found.before),
      versionHead("diff.after", found.after),
    ),
    ...found.rows.map(pairRow),
  );
  if (!changes.length) grid.append(note(t("diff.equal")));
  const rows = [...grid.querySelectorAll(".pair.row-changed")];
  let at = -1;
  const where = build("span", { class: "figures" }, t("diff.changes", { count: rows.length }));

  function step(by) {
    if (!rows.length) return;
    at = at < 0 && by < 0 ? rows.length - 1 : (at + by + rows.length) % rows.length;
    rows[at].focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "center" });
    where.textContent = t("diff.at", { at: at + 1, count: rows.length });
    announce(where.textContent);
  }

  addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      if (event.key === "n" || event.key === "j") step(1);
      else if (event.key === "p" || event.key === "k") step(-1);
      else return;
      event.preventDefault();
    },
    { signal },
  );
  const bar = build(
    "div",
    { class: "bar between" },
    build("label", { class: "tick" }, only, t("diff.only")),
    build(
      "div",
      { class: "row" },
      where,
      button(t("diff.previous"), { class: "plain", "aria-keyshortcuts": "p" }, () => step(-1)),
      button(t("diff.next"), { class: "plain", "aria-keyshortcuts": "n" }, () => step(1)),
    ),
  );
  const parts = [summary];
  if (found.head.length) {
    parts.push(
      build(
        "details",
        { class: "card details" },
        build("summary", {}, t("diff.head", { count: found.head.length })),
        table(
          t("diff.head", { count: found.head.length }),
          [t("diff.field"), t("diff.before"), t("diff.after")],
          found.head.map((change) => ({
            cells: [t(`column.${change.name}`), shown(change.name, change.before), shown(change.name, change.after)],
          })),
        ),
      ),
    );
  }
  return [...parts, bar, grid];
}

/** A field of a head as people name it. */
function shown(name, value) {
  if (value === "") return "–";
  if (name === "kind" || name === "audience") return t(`${name}.${value}`);
  return value;
}

function versionHead(side, document) {
  return build(
    "div",
    { class: "side" },
    build("h2", {}, build("span", { class: "small" }, t(side)), " ", document.version || document.title),
    build("p", { class: "row small" }, stateBadge(document.state), force(document)),
    build("p", { class: "small source" }, document.source),
  );
}

function pairRow(row) {
  const changed = row.change !== "same";
  const node = build(
    "div",
    { class: `pair ${changed ? "row-changed" : "row-same"} ${row.change}`, tabindex: changed ? "-1" : false },
    build("p", { class: "change" }, badge(row.change, t(`diff.${row.change}`))),
    side(row.before, "del", row.change === "removed"),
    side(row.after, "ins", row.change === "added"),
  );
  return node;
}

/** One side; words that differ stand in <del> or <ins>, which are struck out or underlined. */
function side(clause, mark, whole) {
  if (!clause) return build("div", { class: "side absent" }, build("p", { class: "small" }, t("diff.absent")));
  const text = build("p", { class: "text" });
  for (const piece of clause.pieces) {
    text.append(piece.changed || whole ? build(mark, {}, piece.text) : piece.text);
  }
  return build(
    "div",
    { class: "side" },
    build("p", { class: "locator" }, clause.locator, clause.page ? badge("plain", t("page", { page: clause.page })) : ""),
    text,
  );
}
