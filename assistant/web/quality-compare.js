/* Two runs held against each other: what differs in them, and which cases changed. */

import {
  badge, build, call, dayTime, empty, field, fillWith, query, says, select, t, table,
} from "./knowledge-kit.js";
import { metricName, share, strip } from "./quality-charts.js";
import { casesLink, nothing, previous, runLink } from "./quality-runs.js";

const NAMED = 12;

export async function showCompare(place, { values, signal }) {
  const chooser = build("div");
  const result = build("div", { class: "stacked", id: "changes" });
  place.append(chooser, result);
  await fillWith(
    chooser,
    async () => {
      const { runs } = await call(`/v1/evals${query({ limit: 50 })}`, { signal });
      const readable = runs.filter((run) => !run.broken);
      if (!readable.length) return nothing();
      if (readable.length === 1) return empty(t("compare.one"));
      return form(readable, values);
    },
    signal,
  );
  const [before, after] = ["before", "after"].map((name) => values.get(name));
  if (!before || !after) return;
  await fillWith(
    result,
    async () =>
      shown(
        await call(`/v1/evals/${encodeURIComponent(after)}/changes${query({ baseline: before })}`, { signal }),
      ),
    signal,
  );
}

function form(runs, values) {
  const options = runs.map((run) => [run.id, `${dayTime(run.started)} · ${run.id}`]);
  const before = select(options, values.get("before") ?? (previous(runs[0], runs) ?? runs[1]).id);
  const after = select(options, values.get("after") ?? runs[0].id);
  const asked = build(
    "form",
    { class: "filters pair" },
    field(t("compare.before"), before, { class: "field wide" }),
    field(t("compare.after"), after, { class: "field wide" }),
    build("button", { type: "submit", class: "plain" }, t("compare")),
  );
  asked.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/compare${query({ before: before.value, after: after.value })}`;
  });
  return asked;
}

function shown(change) {
  const parts = [
    build("p", { class: "row" }, runLink({ id: change.before }), "→", runLink({ id: change.after })),
    differences(change.differs),
  ];
  for (const [suite, reason] of Object.entries(change.refused)) {
    parts.push(build("p", { class: "note stale" }, t(`refused.${reason}`, { suite })));
  }
  if (!change.metrics.length) {
    parts.push(empty(t("compare.nothing")));
    return parts;
  }
  const columns = ["suite", "metric", "then", "now", "picture", "change", "cases"].map((name) => t(`column.${name}`));
  parts.push(table(t("view.compare"), columns, change.metrics.map((metric) => row(change, metric))));
  parts.push(build("p", { class: "small" }, t("compare.legend")));
  return parts;
}

function differences(differs) {
  const rows = Object.entries(differs).map(([name, [then, now]]) => ({
    cells: [
      says(`version.${name}`) ? t(`version.${name}`) : name,
      build("code", {}, then || t("nothing")),
      build("code", {}, now || t("nothing")),
    ],
  }));
  if (!rows.length) return build("p", { class: "note" }, t("compare.same"));
  return build(
    "section",
    { class: "card" },
    build("h2", {}, t("compare.differs")),
    table(t("compare.differs"), ["what", "then", "now"].map((name) => t(`column.${name}`)), rows),
  );
}

function row(change, metric) {
  const figures = (text) => build("span", { class: "figures" }, text);
  const moved = metric.lost_n + metric.won_n;
  const told = moved
    ? [
        build("span", { class: "figures" }, t("compare.moved", { lost: metric.lost_n, won: metric.won_n })),
        " ",
        metric.lost_n
          ? badge(metric.significant ? "failed" : "plain", t(metric.significant ? "compare.sure" : "compare.unsure", { p: metric.p }))
          : "",
      ]
    : [t("compare.none")];
  const named = (cases, sign) =>
    cases.slice(0, NAMED).flatMap((name) => [
      build(
        "span",
        { class: sign === "+" ? "won" : "lost" },
        sign,
        casesLink(
          { run: change.after, baseline: change.before, suite: metric.suite, case: name, show: "all" },
          name,
        ),
      ),
      " ",
    ]);
  const rest = Math.max(0, metric.lost.length - NAMED) + Math.max(0, metric.won.length - NAMED);
  const cases = [...named(metric.lost, "−"), ...named(metric.won, "+")];
  if (rest) cases.push(build("span", { class: "small" }, t("compare.more", { count: rest })));
  return {
    cells: [
      metric.suite,
      metricName(metric.metric),
      figures(share(metric.before.value)),
      figures(share(metric.after.value)),
      strip(metric.after, { before: metric.before.value }),
      build("div", {}, ...told),
      cases.length ? build("div", { class: "named" }, ...cases) : "–",
    ],
  };
}
