/* Questions that no clause answered, alike ones together. */

import { badge, build, call, dayTime, empty, field, fillWith, query, select, t } from "./knowledge-kit.js";

export async function showQuestions(place, { values, signal }) {
  const days = select(
    ["30", "90", "366"].map((count) => [count, t("questions.days", { count })]),
    values.get("days") ?? "30",
  );
  days.addEventListener("change", () => (location.hash = `#/questions?days=${days.value}`));
  const result = build("div", { id: "questions" });
  place.append(
    build("p", { class: "small" }, t("questions.about")),
    build("form", { class: "filters" }, field(t("questions.period"), days)),
    result,
  );
  await fillWith(
    result,
    async () => {
      const found = await call(`/v1/knowledge/questions?days=${days.value}`, { signal });
      if (!found.groups.length) return empty(t("questions.none"));
      const list = build("ol", { class: "questions" });
      for (const group of found.groups) list.append(item(group));
      const count = t("questions.count", { total: found.total, groups: found.groups.length });
      return [build("p", { class: "count" }, count), list];
    },
    signal,
  );
}

function item(group) {
  const node = build(
    "li",
    { class: "card between" },
    build(
      "div",
      {},
      build("p", { class: "asked" }, group.example),
      build("p", { class: "small" }, t("questions.last", { at: dayTime(group.last_asked) })),
    ),
    build(
      "div",
      { class: "row" },
      badge("plain", t("questions.times", { count: group.count })),
      build("a", { href: `#/query${query({ query: group.example })}` }, t("questions.try")),
    ),
  );
  if (group.others.length) {
    const others = build("ul", { class: "others" });
    for (const text of group.others) others.append(build("li", {}, text));
    node.firstChild.append(
      build("details", {}, build("summary", {}, t("questions.others", { count: group.others.length })), others),
    );
  }
  return node;
}
