/* Replies that borrowers were given, scored as cases are: each scorer over time, drift marked. */

import {
  badge, build, button, call, day, empty, failure, Failure, field, fillWith, query, select, t, table,
} from "./knowledge-kit.js";
import { interval, metricName, share, timeChart } from "./quality-charts.js";

const SPANS = ["28", "90", "365"];
const MARKS = { worse: "failed", better: "done", none: "plain", unknown: "plain" };
const DAY_MS = 86_400_000;

export async function showLive(place, { values, signal, mayRead }) {
  const by = select(["week", "day"].map((name) => [name, t(`live.by.${name}`)]), values.get("by") ?? "week");
  const days = select(SPANS.map((count) => [count, t("live.days", { count })]), values.get("days") ?? "90");
  const form = build("form", { class: "filters" }, field(t("live.by"), by), field(t("live.span"), days));
  form.addEventListener("change", () => {
    location.hash = `#/live${query({ by: by.value, days: days.value })}`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const held = build("div", { class: "stacked" });
  place.append(build("p", { class: "small" }, t("live.about")), form, held);
  await fillWith(
    held,
    async () => {
      const drift = await call(`/v1/quality/drift${query({ by: by.value, days: days.value })}`, { signal });
      const lines = drift.lines.filter((line) => line.points.length);
      if (!lines.length) return empty(t("live.none"), build("code", {}, "zhunxin eval sample"));
      return [
        summary(lines),
        build("p", { class: "small" }, t("live.marked", { p: drift.unlikely })),
        build("div", { class: "scorers" }, ...lines.map((line) => scorer(line, drift.by, mayRead, signal))),
      ];
    },
    signal,
  );
}

/** In one sentence: what is worse than it was, in the newest day or week of each scorer. */
function summary(lines) {
  const worse = lines.filter((line) => line.points.at(-1).drift === "worse");
  if (!worse.length) return build("p", { class: "verdict" }, t("live.steady"));
  const names = worse.map((line) => metricName(line.scorer)).join(t("list.and"));
  return build("p", { class: "verdict refused" }, build("strong", {}, t("live.worse", { names })));
}

/** Last day of a day or week. */
function lastDay(first, by) {
  const days = by === "week" ? 6 : 0;
  return new Date(Date.parse(`${first}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

function scorer(line, by, mayRead, signal) {
  const points = line.points.map((point) => ({ ...point, label: point.first.slice(5), mark: point.drift }));
  const columns = [`live.${by}`, "column.n", "column.value", "column.interval", "live.before", "live.p", "live.drift"].map((name) => t(name));
  const found = build("div");
  const rows = line.points.toReversed().map((point) => {
    const mark = build("div", { class: "row" }, badge(MARKS[point.drift], t(`drift.${point.drift}`)));
    if (mayRead && point.value < 1) {
      const shown = button(t("live.replies"), { class: "quiet" }, () =>
        replies(found, { scorer: line.scorer, first: point.first, last: lastDay(point.first, by) }, signal),
      );
      mark.append(shown);
    }
    const figures = (text) => build("span", { class: "figures" }, text);
    return {
      cells: [
        day(point.first),
        figures(String(point.n)),
        figures(share(point.value)),
        figures(interval(point)),
        point.before === null ? "–" : figures(`${share(point.before)} (${point.n_before})`),
        point.p === null ? "–" : figures(point.p.toFixed(3)),
        mark,
      ],
    };
  });
  const last = line.points.at(-1);
  return build(
    "section",
    { class: "card suite", "data-scorer": line.scorer },
    build(
      "div",
      { class: "between" },
      build("h2", {}, metricName(line.scorer)),
      build("p", { class: "row" }, build("span", { class: "figures" }, share(last.value)), badge(MARKS[last.drift], t(`drift.${last.drift}`))),
    ),
    build("p", { class: "small" }, `${t(`live.scorer.${line.scorer}`)} ${t("live.version", { version: line.version })}`),
    build("figure", { class: "chart" }, timeChart(points)),
    build("details", {}, build("summary", {}, t("runs.figures")), table(metricName(line.scorer), columns, rows), found),
  );
}

/** The records that were found wrong, each to be opened. */
async function replies(place, wanted, signal) {
  await fillWith(
    place,
    async () => {
      const answer = await call(`/v1/quality/replies${query(wanted)}`, { signal });
      if (!answer.replies.length) return empty(t("live.replies.none"));
      return answer.replies.map(({ record_id: id, day: asked }) => record(id, asked, signal));
    },
    signal,
  );
  place.querySelector("summary")?.focus();
}

function record(id, asked, signal) {
  const held = build("div");
  const node = build(
    "details",
    { class: "card details" },
    build("summary", {}, `${day(asked)} `, build("code", {}, id)),
    held,
  );
  node.addEventListener("toggle", async () => {
    if (!node.open || held.childElementCount) return;
    try {
      const { record: stored, erased } = await call(`/v1/audit/${encodeURIComponent(id)}`, { signal });
      held.replaceChildren(...(erased || !stored.reply ? [empty(t("live.erased"))] : conversation(stored)));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      held.replaceChildren(failure(error));
    }
  });
  return node;
}

function conversation({ question, reply }) {
  const places = reply.citations.map((place) => `${place.document} ${place.locator}`);
  return [
    build("p", { class: "asked said" }, question),
    build("p", { class: "said" }, reply.answer),
    build("p", { class: "small" }, [...new Set(places)].join(" · ") || t("nothing")),
  ];
}
