/* Questions that no clause answered, alike ones together. */

import { badge, build, dayTime, empty, field, fillWith, paged, query, select, t } from "./knowledge-kit.js";

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
  const groups = paged(`/v1/knowledge/questions?days=${days.value}`, "groups", signal);
  await fillWith(
    result,
    async () => {
      const found = await groups.load();
      if (!found.groups.length) return empty(t("questions.none"));
      const list = build("ol", { class: "questions" });
      list.append(...found.groups.map(item));
      const count = t("questions.count", { total: found.total, groups: found.grouped });
      const more = groups.more(found, t("questions.more"), item, list);
      return [build("p", { class: "count" }, count), list, ...more];
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
