/* What borrowers say of replies: how many helped, over time, and the questions that were not
   helped, each two clicks from being a case to evaluate or an answer to sign. */

import {
  badge, build, button, call, day, dayTime, empty, field, fillWith, linkTo, query, select, t, table,
} from "./knowledge-kit.js";
import { interval, share, timeChart } from "./quality-charts.js";
import { answerForm } from "./quality-answers.js";
import { labelForm, STATUSES } from "./quality-labels.js";

const SPANS = ["28", "90", "365"];
const SHOWN = ["all", "down", "unanswered"];
const REASONS = ["wrong", "off_topic", "incomplete", "unclear", "outdated", "slow", "no_person", "other"];

export async function showFeedback(place, { values, signal }) {
  const wanted = {
    show: values.get("show") ?? "all",
    reason: values.get("reason") ?? "",
    days: values.get("days") ?? "90",
    by: values.get("by") ?? "week",
  };
  const controls = {
    show: select(SHOWN.map((name) => [name, t(`feedback.show.${name}`)]), wanted.show),
    reason: select(
      [["", t("feedback.any")], ...REASONS.map((name) => [name, t(`feedback.reason.${name}`)])],
      wanted.reason,
    ),
    days: select(SPANS.map((count) => [count, t("live.days", { count })]), wanted.days),
    by: select(["week", "day"].map((name) => [name, t(`live.by.${name}`)]), wanted.by),
  };
  const form = build(
    "form",
    { class: "filters" },
    field(t("feedback.show"), controls.show, { class: "field wide" }),
    field(t("feedback.reason"), controls.reason),
    field(t("live.span"), controls.days),
    field(t("live.by"), controls.by),
  );
  form.addEventListener("change", () => {
    const chosen = Object.entries(controls).map(([name, control]) => [name, control.value]);
    location.hash = `#/feedback${query(Object.fromEntries(chosen))}`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const held = build("div", { class: "stacked" });
  const list = build("div", { class: "stacked" });
  place.append(build("p", { class: "small" }, t("feedback.about")), subViews(), form, held, list);
  let may = [];
  await fillWith(
    held,
    async () => {
      const found = await call(`/v1/feedback/summary${query({ days: wanted.days, by: wanted.by })}`, { signal });
      may = found.may;
      return summary(found, wanted);
    },
    signal,
  );
  if (signal.aborted) return;
  if (!may.includes("read")) {
    list.replaceChildren(empty(t("feedback.denied")));
    return;
  }
  await fillWith(list, () => items(wanted, may, 0, signal), signal);
}

/** Links to drafts of cases and to answers. */
export function subViews() {
  return build(
    "p",
    { class: "row" },
    ...["labels", "answers"].map((view) => build("a", { href: linkTo(view) }, t(`view.${view}`))),
  );
}

function summary(found, wanted) {
  if (!found.points.length) return empty(t("feedback.none"));
  const points = found.points.map((point) => ({ ...point, label: point.first.slice(5) }));
  const figures = (text) => build("span", { class: "figures" }, text);
  const rows = found.points.toReversed().map((point) => ({
    cells: [day(point.first), figures(String(point.n)), figures(share(point.value)), figures(interval(point))],
  }));
  const columns = [t(`live.${found.by}`), t("feedback.n"), t("feedback.useful"), t("column.interval")];
  const given = Object.entries(found.reasons).sort((one, other) => other[1] - one[1]);
  const reasons = given.map(([name, count]) => ({
    cells: [
      build("a", { href: `#/feedback${query({ ...wanted, show: "down", reason: name })}` }, t(`feedback.reason.${name}`)),
      figures(String(count)),
    ],
  }));
  if (found.no_reason) reasons.push({ cells: [t("feedback.no_reason"), figures(String(found.no_reason))] });
  const parts = [
    build(
      "section",
      { class: "card suite" },
      build("h2", {}, t("feedback.useful")),
      build("p", { class: "small" }, t("feedback.chart")),
      build("figure", { class: "chart" }, timeChart(points)),
      build("details", {}, build("summary", {}, t("runs.figures")), table(t("feedback.useful"), columns, rows)),
    ),
  ];
  if (reasons.length) {
    parts.push(
      build(
        "section",
        { class: "card suite" },
        build("h2", {}, t("feedback.why")),
        table(t("feedback.why"), [t("feedback.reason"), t("feedback.count")], reasons),
      ),
    );
  }
  return build("div", { class: "scorers" }, ...parts);
}

async function items(wanted, may, offset, signal) {
  const { show, reason, days } = wanted;
  const found = await call(`/v1/feedback${query({ show, reason, days, offset: String(offset) })}`, { signal });
  if (!found.total) return [build("h2", {}, t("feedback.list")), empty(t("feedback.items.none"))];
  const parts = found.items.map((item) => card(item, may, signal));
  if (offset === 0) {
    parts.unshift(
      build("h2", {}, t("feedback.list")),
      build("p", { class: "count" }, t("feedback.items", { count: found.total })),
    );
  }
  if (found.next !== null) {
    const next = button(t("feedback.more"), { class: "plain" }, async () => {
      next.disabled = true;
      const later = await items(wanted, may, found.next, signal);
      next.replaceWith(...later);
      later[0]?.querySelector?.("summary, button, a")?.focus();
    });
    parts.push(next);
  }
  return parts;
}

function card(item, may, signal) {
  const marks = build("div", { class: "row" }, badge("plain", t(`status.${item.status}`)));
  if (item.useful !== null) {
    marks.append(badge(item.useful ? "done" : "failed", t(item.useful ? "feedback.up" : "feedback.down")));
  }
  if (item.reason) marks.append(badge("plain", t(`feedback.reason.${item.reason}`)));
  const node = build(
    "article",
    { class: "card case", "data-record": item.record_id },
    build("div", { class: "between" }, build("p", { class: "asked said" }, item.question), marks),
    build("p", { class: "small" }, dayTime(item.asked_at)),
  );
  if (item.comment) node.append(build("p", { class: "said" }, t("feedback.said", { comment: item.comment })));
  if (item.answer) {
    const places = [...new Set(item.citations.map((one) => `${one.document} ${one.locator}`))];
    node.append(
      build(
        "details",
        {},
        build("summary", {}, t("feedback.reply")),
        build("p", { class: "said" }, item.answer),
        build("p", { class: "small" }, places.join(" · ") || t("nothing")),
      ),
    );
  }
  node.append(actions(item, may, signal));
  return node;
}

/** The first click opens a form that is filled in as far as it can be, the second saves it. */
function actions(item, may, signal) {
  const row = build("div", { class: "row" });
  const held = build("div");
  const box = build("div", { class: "stacked" }, row, held);
  const made = (kind, view) => build("a", { href: linkTo(view) }, t(`made.${kind}`));
  const offer = (kind, view, known, form) => {
    if (known) return row.append(made(kind, view));
    const open = button(t(`make.${kind}`), { class: "plain", "aria-expanded": "false" }, () => {
      const close = () => {
        held.replaceChildren();
        open.setAttribute("aria-expanded", "false");
        open.focus();
      };
      const saved = () => {
        const link = made(kind, view);
        held.replaceChildren();
        open.replaceWith(link);
        link.focus();
      };
      for (const other of row.querySelectorAll("[aria-expanded]")) other.setAttribute("aria-expanded", "false");
      open.setAttribute("aria-expanded", "true");
      const filled = form(item, { signal, close, saved });
      held.replaceChildren(filled);
      filled.querySelector("select, textarea").focus();
    });
    row.append(open);
  };
  if (may.includes("label")) offer("case", "labels", item.case_id, caseForm);
  if (may.includes("write")) offer("answer", "answers", item.answer_id, answerForm);
  return box;
}

function caseForm(item, { signal, close, saved }) {
  return labelForm(
    { status: STATUSES.includes(item.status) ? item.status : "answered", facts: [] },
    {
      close,
      async save(label) {
        const { id } = await call("/v1/feedback/cases", { method: "POST", body: { record_id: item.record_id }, signal });
        await call(`/v1/feedback/cases/${id}/labels`, { method: "POST", body: label, signal });
        saved();
      },
    },
  );
}
