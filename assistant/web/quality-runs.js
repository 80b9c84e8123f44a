/* Runs of the evaluation: their metrics over time, and one run by suite and topic. */

import {
  badge, build, button, call, dayTime, empty, field, fillWith, linkTo, note, query, says, select, t, table,
} from "./knowledge-kit.js";
import { interval, metricName, share, strip, timeChart } from "./quality-charts.js";

const PAGE = 20;

const figures = (text) => build("span", { class: "figures" }, String(text));
const link = (href, text, attributes = {}) => build("a", { href, ...attributes }, text);

export function runLink(run, text = run.id) {
  return link(linkTo("run", run.id), text, { class: "title" });
}

export function casesLink(values, text) {
  return link(`#/cases${query(values)}`, text);
}

/** Day of a run for an axis, by the same clock as the times beside it. */
function shortDay(started) {
  // Swedish writes year, month and day as ISO does.
  return new Date(started).toLocaleDateString("sv").slice(5);
}

/** The last run before one, the newest being first, with a suite in common; else undefined. */
export function previous(run, runs) {
  const names = new Set(run.suites.map((suite) => suite.name));
  const earlier = runs.slice(runs.findIndex((other) => other.id === run.id) + 1);
  return earlier.find((other) => !other.broken && other.suites.some(({ name }) => names.has(name)));
}

export async function showRuns(place, { signal }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const page = await call(`/v1/evals${query({ limit: PAGE })}`, { signal });
      return page.runs.length ? overview(page, signal) : nothing();
    },
    signal,
  );
}

export function nothing() {
  return empty(t("runs.none"), build("p", { class: "small" }, t("runs.none.how")), build("code", {}, "zhunxin eval run"));
}

function overview(page, signal) {
  const runs = page.runs;
  let next = page.next;
  const courses = build("div", { class: "stacked" });
  const list = build("div");
  const show = () => {
    courses.replaceChildren(...suites(runs));
    list.replaceChildren(runTable(runs));
  };
  const more = button(t("runs.more"), { class: "plain" }, async () => {
    more.disabled = true;
    const added = await call(`/v1/evals${query({ limit: PAGE, offset: next })}`, { signal });
    runs.push(...added.runs);
    next = added.next;
    more.disabled = false;
    more.hidden = next === null;
    show();
  });
  more.hidden = next === null;
  show();
  return [
    courses,
    build("section", { class: "apart" }, build("h2", {}, t("runs.all", { count: page.total })), list, more),
  ];
}

/** One section a suite, the metrics of each drawn over the runs that hold it. */
function suites(runs) {
  const names = [...new Set(runs.flatMap((run) => run.suites.map((suite) => suite.name)))];
  return names.map((name) => {
    const held = runs
      .filter((run) => run.suites.some((suite) => suite.name === name))
      .map((run) => ({ run, suite: run.suites.find((suite) => suite.name === name) }))
      .reverse();
    const metrics = [...new Set(held.flatMap(({ suite }) => Object.keys(suite.metrics)))];
    const charts = build("div", { class: "charts" });
    for (const metric of metrics) charts.append(course(metric, held));
    const rows = held.toReversed().map(({ run, suite }) => ({
      cells: [
        runLink(run, dayTime(run.started)),
        figures(suite.n),
        ...metrics.map((metric) => {
          const found = suite.metrics[metric];
          return found ? figures(`${share(found.value)} (${interval(found)})`) : "–";
        }),
      ],
    }));
    const columns = [t("column.started"), t("column.n"), ...metrics.map(metricName)];
    return build(
      "section",
      { class: "card suite", "data-suite": name },
      build("h2", {}, name),
      build("p", { class: "small" }, t("runs.question")),
      charts,
      build(
        "details",
        {},
        build("summary", {}, t("runs.figures")),
        build("div", { class: "wide-table" }, table(`${name} ${t("runs.figures")}`, columns, rows)),
      ),
    );
  });
}

function course(metric, held) {
  const points = held
    .filter(({ suite }) => suite.metrics[metric])
    .map(({ run, suite }) => ({ ...suite.metrics[metric], label: shortDay(run.started) }));
  const last = points.at(-1);
  const bar = held.at(-1).suite.bars[metric] ?? null;
  const missed = bar !== null && last.value < bar;
  return build(
    "figure",
    { class: "chart" },
    build(
      "figcaption",
      {},
      build("strong", {}, metricName(metric)),
      " ",
      build("span", { class: "figures" }, share(last.value)),
      " ",
      missed ? badge("failed", t("missed")) : "",
    ),
    timeChart(points, { bar }),
  );
}

function runTable(runs) {
  const columns = ["started", "run", "model", "n", "wrong", "critical", "verdict"].map((name) => t(`column.${name}`));
  const rows = runs.map((run) => {
    const verdict = build("div", { class: "row" }, ...verdictOf(run));
    const earlier = previous(run, runs);
    if (earlier && !run.broken) {
      verdict.append(link(`#/compare${query({ before: earlier.id, after: run.id })}`, t("runs.compare_previous")));
    }
    const sum = (name) => figures(run.suites.reduce((total, suite) => total + suite[name], 0));
    return {
      cells: run.broken
        ? ["–", build("code", {}, run.id), "–", "–", "–", "–", verdict]
        : [
            build("span", { class: "when" }, dayTime(run.started)), runLink(run), run.versions.model || "–",
            sum("n"), sum("failed"), sum("critical"), verdict,
          ],
    };
  });
  return table(t("view.runs"), columns, rows);
}

function verdictOf(run) {
  if (run.broken) return [badge("failed", t("run.broken")), build("span", { class: "small" }, run.broken)];
  const missed = run.suites.reduce((total, suite) => total + suite.missed.length, 0);
  if (!run.suites.length) return [badge("failed", t("run.empty"))];
  return [missed ? badge("failed", t("run.missed", { count: missed })) : badge("done", t("run.good"))];
}

// One run

export async function showRun(place, { parts, signal, heading }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const [run, { runs }] = await Promise.all([
        call(`/v1/evals/${encodeURIComponent(parts[0] ?? "")}`, { signal }),
        call(`/v1/evals${query({ limit: 50 })}`, { signal }),
      ]);
      heading.textContent = t("run.heading", { id: run.id });
      if (run.broken) return note(t("run.broken.told", { problem: run.broken }), "stale");
      return [about(run, runs), ...run.suites.map((suite) => suiteOf(run, suite))];
    },
    signal,
  );
}

function about(run, runs) {
  const facts = build("dl", { class: "facts" });
  const add = (name, value) => facts.append(build("div", {}, build("dt", {}, name), build("dd", {}, value || "–")));
  add(t("column.started"), dayTime(run.started));
  add(t("run.seconds"), t("run.seconds.of", { seconds: Math.round(run.seconds) }));
  add(t("run.seeds"), String(run.seeds));
  for (const [name, version] of Object.entries(run.versions)) {
    add(says(`version.${name}`) ? t(`version.${name}`) : name, version);
  }
  const others = runs.filter((other) => other.id !== run.id && !other.broken);
  const card = build("section", { class: "card" }, facts);
  if (others.length) {
    const choice = select(others.map((other) => [other.id, `${dayTime(other.started)} · ${other.id}`]), (previous(run, runs) ?? others[0]).id);
    const form = build(
      "form",
      { class: "filters" },
      field(t("compare.before"), choice, { class: "field wide" }),
      build("button", { type: "submit", class: "plain" }, t("compare")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      location.hash = `#/compare${query({ before: choice.value, after: run.id })}`;
    });
    card.append(form);
  }
  return card;
}

function suiteOf(run, suite) {
  const here = { run: run.id, suite: suite.name };
  const columns = ["metric", "n", "value", "interval", "bar", "picture", "cases"].map((name) => t(`column.${name}`));
  const rows = Object.entries(suite.metrics).map(([metric, found]) => {
    const name = [metricName(metric)];
    if (suite.missed.includes(metric)) name.push(" ", badge("failed", t("missed")));
    if (metric in run.judged) {
      name.push(build("span", { class: "small source" }, run.judged[metric] ?? t("uncalibrated")));
    }
    const bar = suite.bars[metric] ?? null;
    return {
      cells: [
        build("div", {}, ...name),
        figures(found.n),
        figures(share(found.value)),
        figures(interval(found)),
        bar === null ? "–" : figures(bar.toFixed(2)),
        strip(found, { bar }),
        found.value < 1 ? casesLink({ ...here, metric }, t("cases.failed")) : "–",
      ],
    };
  });
  const told = [t("suite.counts", suite)];
  if (suite.latency_ms) told.push(t("suite.latency", { median: Math.round(suite.latency_ms.median), p95: Math.round(suite.latency_ms.p95) }));
  if (suite.tokens.in || suite.tokens.out) told.push(t("suite.tokens", { sent: suite.tokens.in, got: suite.tokens.out }));
  const [currency = ""] = (run.versions.prices ?? "").split(" ");
  if (suite.cost !== null) told.push(t("suite.cost", { cost: `${suite.cost.toFixed(4)} ${currency}`.trim() }));
  if (suite.uncounted) told.push(t("suite.uncounted", { count: suite.uncounted }));
  return build(
    "section",
    { class: "card suite", "data-suite": suite.name },
    build("div", { class: "between" }, build("h2", {}, suite.name), casesLink(here, t("cases.wrong", { count: suite.failed }))),
    build("p", { class: "small" }, told.join(" · ")),
    table(t("suite.metrics", { suite: suite.name }), columns, rows),
    build("p", { class: "small" }, t("legend")),
    ...slices(t("suite.topics"), "topic", suite.topics.filter((topic) => topic.failed), (topic) => ({ ...here, topic })),
    faultless(suite.topics.filter((topic) => !topic.failed)),
    ...slices(t("suite.difficulties"), "difficulty", suite.difficulties),
  );
}

/** values: of the link to a slice's wrong cases. */
function slices(question, first, found, values = null) {
  if (!found.length) return [];
  const columns = [first, "n", "wrong", "passed", "interval", "picture"].map((name) => t(`column.${name}`));
  const rows = found.map((slice) => ({
    cells: [
      says(`difficulty.${slice.name}`) ? t(`difficulty.${slice.name}`) : slice.name,
      figures(slice.n),
      values && slice.failed ? casesLink(values(slice.name), String(slice.failed)) : figures(slice.failed),
      figures(share(slice.passed.value)),
      figures(interval(slice.passed)),
      strip(slice.passed),
    ],
  }));
  return [build("h3", {}, question), table(question, columns, rows)];
}

function faultless(topics) {
  if (!topics.length) return "";
  const names = topics.map((topic) => topic.name).join(t("list.and"));
  return build("p", { class: "small" }, t("suite.faultless", { count: topics.length, names }));
}
