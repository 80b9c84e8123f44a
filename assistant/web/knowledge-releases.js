/* The releases: which is live, what differs between two, and rolling back. */

import {
  announce, badge, build, button, call, confirmed, dayTime, empty, failure, Failure, fillWith,
  note, query, select, field, t, table,
} from "./knowledge-kit.js";

export async function showReleases(place, { signal, values, mayChange }) {
  const result = build("div", { id: "release-diff" });
  const told = build("div");
  const held = build("div");
  place.append(told, held, result);

  async function load() {
    const { releases } = await call("/v1/knowledge/releases", { signal });
    if (!releases.length) return empty(t("releases.none"));
    return [list(releases, mayChange, roll), releases.length > 1 ? chooser(releases, values) : ""];
  }

  async function roll(release, pressed) {
    const sure = await confirmed(
      t("releases.activate.title"),
      t("releases.activate.text", {
        id: release.id, at: dayTime(release.created_at), documents: release.documents, clauses: release.clauses,
      }),
      t("releases.activate"),
    );
    if (!sure) {
      pressed.focus();
      return;
    }
    pressed.disabled = true;
    pressed.textContent = t("releases.activating");
    try {
      await call(`/v1/knowledge/releases/${encodeURIComponent(release.id)}/activate`, { method: "POST" });
      const done = t("releases.activated", { id: release.id });
      told.replaceChildren(note(done, "good"));
      announce(done);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      told.replaceChildren(failure(error));
    }
    await fillWith(held, load, signal);
  }

  await fillWith(held, load, signal);
  const before = values.get("before");
  const after = values.get("after");
  if (before && after) {
    await fillWith(
      result,
      async () => difference(await call(`/v1/knowledge/releases/diff${query({ before, after })}`, { signal })),
      signal,
    );
  }
}

function list(releases, mayChange, roll) {
  const columns = ["built", "release", "documents", "clauses", "status"].map((name) => t(`column.${name}`));
  const rows = releases.map((release, at) => {
    const earlier = releases[at + 1];
    const actions = [];
    if (release.active) actions.push(badge("current", t("releases.live")));
    else if (!release.usable) actions.push(build("span", { class: "small" }, t("releases.unusable", { model: release.embeddings })));
    else if (mayChange) {
      const pressed = button(t("releases.activate"), { class: "plain" }, () => roll(release, pressed));
      actions.push(pressed);
    }
    if (earlier) {
      actions.push(
        build(
          "a",
          { href: `#/releases${query({ before: earlier.id, after: release.id })}` },
          t("releases.compare_previous"),
        ),
      );
    }
    return {
      attributes: release.active ? { class: "here" } : {},
      cells: [
        dayTime(release.created_at),
        build("code", {}, release.id),
        build("span", { class: "figures" }, String(release.documents)),
        build("span", { class: "figures" }, String(release.clauses)),
        build("div", { class: "row" }, ...(actions.length ? actions : ["–"])),
      ],
    };
  });
  return table(t("view.releases"), columns, rows);
}

function chooser(releases, values) {
  const options = releases.map((release) => [
    release.id,
    `${dayTime(release.created_at)} · ${release.id}${release.active ? ` · ${t("releases.live")}` : ""}`,
  ]);
  const before = select(options, values.get("before") ?? releases[1].id);
  const after = select(options, values.get("after") ?? releases[0].id);
  const form = build(
    "form",
    { class: "filters pair" },
    field(t("diff.before"), before, { class: "field wide" }),
    field(t("diff.after"), after, { class: "field wide" }),
    build("button", { type: "submit", class: "plain" }, t("releases.compare")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/releases${query({ before: before.value, after: after.value })}`;
  });
  return build("section", { class: "apart" }, build("h2", {}, t("releases.compare.title")), form);
}

function difference(change) {
  if (!change.added.length && !change.removed.length && !change.changed.length) {
    return empty(t("releases.equal"));
  }
  const parts = [];
  for (const name of ["added", "removed"]) {
    if (!change[name].length) continue;
    const list = build("ul", { class: "plain-list" });
    for (const source of change[name]) list.append(build("li", {}, source));
    parts.push(
      build("h3", {}, badge(name, t(`releases.${name}`, { count: change[name].length }))),
      list,
    );
  }
  if (change.changed.length) {
    parts.push(
      build("h3", {}, badge("changed", t("releases.changed", { count: change.changed.length }))),
      table(
        t("releases.changed", { count: change.changed.length }),
        [t("column.title"), t("releases.what"), ""],
        change.changed.map((document) => ({
          cells: [
            [build("span", { class: "title" }, document.title), build("span", { class: "small source" }, document.source)],
            what(document),
            build(
              "a",
              {
                href: `#/diff${query({
                  before: document.source, after: document.source,
                  before_release: change.before, after_release: change.after,
                })}`,
              },
              t("releases.side_by_side"),
            ),
          ],
        })),
      ),
    );
  }
  return build("section", { class: "card" }, ...parts);
}

function what(document) {
  const said = Object.entries(document.counts).map(([name, count]) => t(`diff.count.${name}`, { count }));
  const fields = document.head.map((change) => t(`column.${change.name}`));
  if (fields.length) said.push(t("releases.fields", { fields: fields.join("、") }));
  return said.join(" · ");
}
