/* Cases of a run: what was expected, what was said, on which evidence, and what is wrong with it. */

import {
  badge, build, button, call, empty, field, fillWith, linkTo, query, says, select, t,
} from "./knowledge-kit.js";
import { metricName } from "./quality-charts.js";

const SHOWN = ["wrong", "critical", "faults", "all"];
/** Metrics that only sum up the others; their failure is told by those. */
const SUMS = ["right", "exact"];

export async function showCases(place, { values, signal, heading }) {
  const run = values.get("run") ?? "";
  const baseline = values.get("baseline") ?? "";
  const bar = build("div");
  const list = build("div", { class: "stacked", id: "cases" });
  place.append(
    build("p", { class: "row" }, build("a", { href: linkTo("run", run) }, t("cases.back", { run }))),
    bar,
    list,
  );
  heading.textContent = values.get("case") || t("view.cases");
  await fillWith(
    list,
    async () => {
      const whole = await call(`/v1/evals/${encodeURIComponent(run)}`, { signal });
      if (!values.get("case")) bar.replaceChildren(filters(whole, values));
      if (values.get("case") && baseline) return bothRuns(run, baseline, values, signal);
      return pages(run, values, signal);
    },
    signal,
  );
}

function asked(values) {
  const names = ["suite", "topic", "metric", "case", "show"];
  return Object.fromEntries(names.map((name) => [name, values.get(name) ?? ""]));
}

function filters(run, values) {
  const suite = select(
    [["", t("all")], ...run.suites.map(({ name }) => [name, name])], values.get("suite") ?? "",
  );
  const chosen = run.suites.filter(({ name }) => !suite.value || name === suite.value);
  const topics = [...new Set(chosen.flatMap((one) => one.topics.map(({ name }) => name)))].sort();
  const metrics = [...new Set(chosen.flatMap((one) => Object.keys(one.metrics)))];
  const topic = select([["", t("all")], ...topics.map((name) => [name, name])], values.get("topic") ?? "");
  const metric = select(
    [["", t("all")], ...metrics.map((name) => [name, metricName(name)])], values.get("metric") ?? "",
  );
  const show = select(SHOWN.map((name) => [name, t(`show.${name}`)]), values.get("show") || "wrong");
  const form = build(
    "form",
    { class: "filters" },
    field(t("column.suite"), suite),
    field(t("column.topic"), topic),
    field(t("cases.metric"), metric),
    field(t("show"), show),
  );
  form.addEventListener("change", (event) => {
    // Another suite has other topics and metrics.
    const kept = event.target === suite ? {} : { topic: topic.value, metric: metric.value };
    location.hash = `#/cases${query({ run: run.id, suite: suite.value, ...kept, show: show.value })}`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

async function pages(run, values, signal) {
  const address = (offset) => `/v1/evals/${encodeURIComponent(run)}/cases${query({ ...asked(values), offset })}`;
  const page = await call(address(0), { signal });
  if (!page.total) return empty(t(values.get("case") ? "cases.unknown" : "cases.none"));
  const list = build("ol", { class: "findings" }, ...page.cases.map((found) => caseItem(found)));
  let { next } = page;
  const more = button("", { class: "plain" }, async () => {
    more.disabled = true;
    const added = await call(address(next), { signal });
    const items = added.cases.map((found) => caseItem(found));
    list.append(...items);
    next = added.next;
    more.disabled = false;
    label();
    items[0]?.querySelector("h3").focus();
  });
  function label() {
    more.hidden = next === null;
    if (next !== null) more.textContent = t("more", { count: page.total - next });
  }
  label();
  return [build("p", { class: "small", role: "status" }, t("cases.count", { count: page.total })), list, more];
}

/** The same case in two runs, the earlier one first. */
async function bothRuns(run, baseline, values, signal) {
  const wanted = query({ ...asked(values), show: "all" });
  const [then, now] = await Promise.all(
    [baseline, run].map((id) => call(`/v1/evals/${encodeURIComponent(id)}/cases${wanted}`, { signal })),
  );
  const side = (title, id, page) =>
    build(
      "section",
      {},
      build("h2", {}, t(title, { run: id })),
      page.total
        ? build("ol", { class: "findings" }, ...page.cases.map((found) => caseItem(found)))
        : empty(t("cases.unknown")),
    );
  return [side("cases.then", baseline, then), side("cases.now", run, now)];
}

function caseItem(found) {
  const failed = Object.entries(found.checks).filter(([, check]) => !check.passed);
  const told = failed.filter(([name]) => !SUMS.includes(name));
  const wrong = told.length ? told : failed;
  const signs = [];
  if (found.passed) signs.push(badge("done", t("case.passed")));
  else if (found.fault) signs.push(badge("stale", t("case.fault")));
  else signs.push(badge("failed", t(found.critical.length ? "case.critical" : "case.wrong")));
  const level = says(`difficulty.${found.difficulty}`) ? t(`difficulty.${found.difficulty}`) : found.difficulty;
  return build(
    "li",
    { class: `card case ${found.critical.length ? "critical" : ""}`, "data-case": found.case },
    build("h3", { tabindex: "-1" }, build("code", {}, found.case), " ", ...signs),
    build("p", { class: "small" }, [found.suite, found.topic, level, found.model].filter(Boolean).join(" · ")),
    build("p", { class: "asked said" }, found.text),
    build(
      "div",
      { class: "sides" },
      sideOf("case.expected", [said(found.expected)]),
      sideOf("case.said", [said(found.said)]),
      sideOf("case.cited", listOf(found.cited.map((place) => [place]))),
      sideOf(
        "case.findings",
        listOf([
          ...(found.fault ? [[found.fault]] : []),
          ...wrong.map(([name, check]) => [
            build("strong", {}, metricName(name)),
            " ",
            t("case.wanted_got", { wanted: check.wanted || t("nothing"), got: check.got || t("nothing") }),
          ]),
          ...found.findings.map((rule) => [build("code", {}, rule)]),
        ]),
      ),
    ),
  );
}

function sideOf(title, parts) {
  return build("div", {}, build("h4", {}, t(title)), ...parts);
}

function said(text) {
  return build("p", { class: "said" }, text || t("nothing"));
}

function listOf(items) {
  if (!items.length) return [said("")];
  return [build("ul", { class: "plain-list" }, ...items.map((parts) => build("li", {}, ...parts)))];
}
