/* Scores of conversations: how they went over time, each with what it lost and where, appeals, and
   samples that people score before they see what the machine found. */

import {
  announce, badge, build, button, call, day, dayTime, empty, field, fillWith, linkTo, locale, query, select, t, table,
} from "./knowledge-kit.js";
import { timeChart } from "./quality-charts.js";
import { savingForm } from "./quality-labels.js";

const GROUPS = ["all", "agent", "topic", "rule", "part"];
const SPANS = ["28", "90", "365"];
const PARTS = ["rules", "figures", "steps", "politeness", "answered", "promises"];
const MOST_CHARTS = 8;

const figures = (text) => build("span", { class: "figures" }, text);
const points = (value) => (value == null ? "–" : value.toFixed(1));

export async function showScores(place, { values, signal, ownOnly }) {
  const wanted = {
    group: values.get("group") ?? "all",
    days: values.get("days") ?? "90",
    agent: values.get("agent") ?? "",
    code: values.get("code") ?? "",
    passed: values.get("passed") ?? "",
  };
  const controls = {
    group: select(GROUPS.filter((name) => !ownOnly || name !== "agent").map((name) => [name, t(`scores.group.${name}`)]), wanted.group),
    days: select(SPANS.map((count) => [count, t("live.days", { count })]), wanted.days),
    passed: select(["", "true", "false"].map((name) => [name, t(`scores.passed.${name || "any"}`)]), wanted.passed),
  };
  const form = build(
    "form",
    { class: "filters" },
    field(t("scores.group"), controls.group),
    field(t("live.span"), controls.days),
    field(t("scores.passed"), controls.passed),
  );
  form.addEventListener("change", () => {
    const chosen = Object.entries(controls).map(([name, control]) => [name, control.value]);
    location.hash = `#/scores${query({ ...wanted, ...Object.fromEntries(chosen) })}`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const charts = build("div", { class: "stacked" });
  const list = build("div", { class: "stacked" });
  place.append(build("p", { class: "small" }, t(ownOnly ? "scores.about.own" : "scores.about")), subViews(ownOnly), form, charts, list);
  await Promise.all([
    fillWith(charts, () => trends(wanted, ownOnly, signal), signal),
    fillWith(list, () => scores(wanted, 0, signal), signal),
  ]);
}

function subViews(ownOnly) {
  return build(
    "p",
    { class: "row" },
    ...(ownOnly ? ["appeals"] : ["samples", "appeals"]).map((view) => build("a", { href: linkTo(view) }, t(`view.${view}`))),
  );
}

async function trends({ group, days }, ownOnly, signal) {
  const found = await call(`/v1/scores/trends${query({ group, days, locale })}`, { signal });
  if (!found.trends.length) {
    return ownOnly ? empty(t("scores.none.own")) : empty(t("scores.none"), build("code", {}, "zhunxin score FILE.csv --keep"));
  }
  const lost = group === "rule" || group === "part";
  const shown = found.trends.slice(0, MOST_CHARTS).map((trend) => chart(trend, lost ? null : found.bar / 100));
  return [
    build("h2", {}, t(lost ? "scores.question.lost" : "scores.question")),
    build("div", { class: "charts" }, ...shown),
    build("details", {}, build("summary", {}, t("runs.figures")), trendTable(found.trends, lost)),
  ];
}

function chart(trend, bar) {
  const drawn = trend.points.map((point) => {
    const value = point.value / 100;
    return { value, low: value, high: value, label: point.first.slice(5) };
  });
  return build(
    "figure",
    { class: "chart" },
    build("figcaption", {}, trend.title || t("scores.group.all"), figures(t("scores.mean", { mean: points(trend.mean), n: trend.n }))),
    timeChart(drawn, { bar }),
  );
}

function trendTable(found, lost) {
  const columns = [t("scores.what"), t("scores.n"), t(lost ? "scores.share" : "scores.total")];
  const rows = found.map((trend) => ({
    cells: [trend.title || t("scores.group.all"), figures(String(trend.n)), figures(points(trend.mean))],
  }));
  return table(t("runs.figures"), columns, rows);
}

async function scores(wanted, offset, signal) {
  const { days, agent, code, passed } = wanted;
  const found = await call(`/v1/scores${query({ days, agent, code, passed, locale, offset: String(offset), limit: "20" })}`, { signal });
  if (!found.total) return [];
  const columns = ["conversation", "day", "total", "topic", "agents", "lost"].map((name) => t(`scores.column.${name}`));
  const rows = found.scores.map((score) => ({
    cells: [
      build("a", { href: linkTo("score", score.id), class: "title" }, score.conversation_id.slice(0, 20)),
      day(score.on),
      [figures(points(score.total)), " ", bandBadge(score)],
      score.topic_title,
      score.agents.join(" ") || t("scores.assistant"),
      lostOf(score),
    ],
  }));
  const parts = [table(t("scores.list"), columns, rows)];
  if (!offset) parts.unshift(build("h2", {}, t("scores.list")), build("p", { class: "count" }, t("scores.count", { count: found.total })));
  if (found.next !== null) {
    const next = button(t("feedback.more"), { class: "plain" }, async () => {
      next.disabled = true;
      next.replaceWith(...(await scores(wanted, found.next, signal)));
    });
    parts.push(next);
  }
  return parts;
}

/** The first of what was lost, and how much more there is. */
function lostOf(score) {
  const shown = score.lost.slice(0, 3).join(t("and"));
  const more = score.lost.length - 3;
  return more > 0 ? `${shown} ${t("scores.more", { count: more })}` : shown || "–";
}

function bandBadge(score) {
  return badge(score.passed ? "done" : "failed", t(`scores.band.${score.band || "none"}`));
}

export async function showScore(place, { parts, signal, login }) {
  const held = build("div", { class: "stacked" });
  place.append(build("p", {}, build("a", { href: linkTo("scores") }, t("view.scores"))), held);
  const again = () => fillWith(held, () => whole(parts[0], login, again, signal), signal);
  await again();
}

async function whole(id, login, again, signal) {
  const found = await call(`/v1/scores/${id}${query({ locale })}`, { signal });
  if (found.awaits_review) {
    const form = found.may.includes("review") ? reviewForm(id, again, signal) : build("p", { class: "note" }, t("scores.awaits"));
    return [build("p", { class: "small" }, t("scores.blind")), conversation(found.conversation, []), form];
  }
  const score = found.score;
  const lost = score.points.filter((point) => !point.met);
  const rows = score.parts.map((part) => ({
    cells: [part.title, figures(`${points(part.points)} / ${points(part.of)}`)],
  }));
  const nodes = [
    build("p", { class: "row" }, figures(t("scores.of100", { total: points(score.total) })), bandBadge(score), ...score.flags.map((flag) => badge("plain", t(`scores.flag.${flag}`)))),
    table(t("scores.parts"), [t("scores.part"), t("scores.points")], rows),
    build("h2", {}, t("scores.lost")),
    ...(lost.length ? lost.map((point) => pointCard(point, found, login, again, signal)) : [build("p", {}, t("scores.lost.none"))]),
    build("h2", {}, t("scores.conversation")),
    conversation(found.conversation, lost),
  ];
  return nodes;
}

function pointCard(point, { id, appeals, may }, login, again, signal) {
  const marks = build("div", { class: "row" }, badge("plain", point.part === "rules" ? point.code : t(`scores.part.${point.part}`)));
  if (point.waived) marks.append(badge("done", t("scores.waived")));
  const node = build(
    "article",
    { class: "card case" },
    build("div", { class: "between" }, build("p", {}, point.why), marks),
    build("p", { class: "small" }, t("scores.place", { lost: point.lost.toFixed(2), turn: (point.turn ?? 0) + 1, by: point.by || t("scores.everybody") })),
    build("p", { class: "said" }, build("mark", {}, point.text)),
  );
  if (point.suggestion) node.append(build("p", { class: "small" }, point.suggestion));
  const appeal = appeals.find((one) => one.place === point.place);
  if (appeal) node.append(appealNote(appeal));
  else if (may.includes("appeal") && (!point.by || point.by === login)) node.append(appealButton(id, point, again, signal));
  return node;
}

function appealButton(id, point, again, signal) {
  const held = build("div");
  const open = button(t("scores.appeal"), { class: "plain" }, () => {
    const reason = build("textarea", { name: "reason", rows: "2", required: "", maxlength: "2000" });
    open.hidden = true;
    const close = () => {
      held.replaceChildren();
      open.hidden = false;
      open.focus();
    };
    held.replaceChildren(
      savingForm([field(t("scores.reason"), reason, { class: "field whole" })], close, async () => {
        const body = { place: point.place, reason: reason.value };
        await call(`/v1/scores/${id}/appeals`, { method: "POST", body, signal });
        announce(t("saved"));
        await again();
      }),
    );
    reason.focus();
  });
  return build("div", {}, open, held);
}

function appealNote(appeal) {
  const told = [badge(appeal.state === "upheld" ? "done" : "plain", t(`scores.appeal.${appeal.state}`)), " ", appeal.appealed_by, ": ", appeal.reason];
  if (appeal.comment) told.push(" — ", appeal.decided_by, ": ", appeal.comment);
  return build("p", { class: "small said" }, ...told);
}

function conversation(turns, lost) {
  if (!turns.length) return empty(t("scores.erased"));
  const list = build("ol", { class: "stacked turns" });
  turns.forEach((turn, at) => {
    const places = lost.filter((point) => point.turn === at).sort((one, other) => one.span[0] - other.span[0]);
    const said = build("span", { class: "said" });
    let end = 0;
    // Spans count characters; a character beyond the first plane is two units here.
    const letters = [...turn.text];
    for (const { span } of places) {
      if (span[0] < end) continue;
      said.append(letters.slice(end, span[0]).join(""), build("mark", {}, letters.slice(...span).join("")));
      end = span[1];
    }
    said.append(letters.slice(end).join(""));
    list.append(build("li", {}, build("b", {}, t(`scores.speaker.${turn.speaker}`), turn.by ? ` ${turn.by}` : ""), " ", said));
  });
  return list;
}

function reviewForm(id, again, signal) {
  const total = build("input", { type: "number", min: "0", max: "100", step: "1", required: "" });
  const verdicts = PARTS.map((part) => [
    part,
    select(["", "ok", "not_ok"].map((name) => [name, t(`scores.verdict.${name || "none"}`)])),
  ]);
  const remark = build("textarea", { rows: "2", maxlength: "2000" });
  const fields = [
    field(t("scores.total"), total),
    ...verdicts.map(([part, control]) => field(t(`scores.part.${part}`), control)),
    field(t("scores.remark"), remark, { class: "field whole" }),
  ];
  return savingForm(fields, () => { location.hash = linkTo("samples"); }, async () => {
    const given = verdicts.filter(([, control]) => control.value).map(([part, control]) => [part, control.value]);
    const body = { total: Number(total.value), verdicts: Object.fromEntries(given), note: remark.value };
    await call(`/v1/scores/${id}/review`, { method: "POST", body, signal });
    announce(t("saved"));
    await again();
  });
}

export async function showSamples(place, { values, signal }) {
  const done = values.get("done") === "true";
  const held = build("div", { class: "stacked" });
  place.append(
    build("p", { class: "row" }, build("a", { href: linkTo("scores") }, t("view.scores")), build("a", { href: `#/samples${query({ done: done ? "" : "true" })}` }, t(done ? "scores.samples.open" : "scores.samples.done"))),
    held,
  );
  const again = () => fillWith(held, () => samples(done, again, signal), signal);
  await again();
}

async function samples(done, again, signal) {
  const [found, agreed] = await Promise.all([
    call(`/v1/scores/samples${query({ done: String(done) })}`, { signal }),
    call("/v1/scores/agreement", { signal }),
  ]);
  const parts = [agreement(agreed)];
  if (found.may.includes("draw")) {
    const draw = button(t("scores.draw"), { class: "strong" }, async () => {
      const drawn = await call("/v1/scores/samples", { method: "POST", body: {}, signal });
      announce(t("scores.drawn", { count: drawn.low + drawn.random + drawn.agent }));
      await again();
    });
    parts.push(build("p", {}, draw));
  }
  if (!found.total) return [...parts, empty(t("scores.samples.none"))];
  const columns = ["conversation", "day", "stratum", "agents", "machine", "person"].map((name) => t(`scores.column.${name}`));
  const rows = found.reviews.map((review) => ({
    cells: [
      build("a", { href: linkTo("score", review.score_id), class: "title" }, review.conversation_id.slice(0, 20)),
      day(review.on),
      t(`scores.stratum.${review.stratum}`),
      review.agents.join(" ") || t("scores.assistant"),
      figures(points(review.machine)),
      figures(points(review.total)),
    ],
  }));
  return [...parts, table(t("view.samples"), columns, rows)];
}

function agreement(found) {
  const said = (one) => (one.kappa == null ? t("scores.kappa.few", { n: one.n }) : t("scores.kappa", { kappa: one.kappa.toFixed(2), agreed: (100 * one.agreed).toFixed(0), n: one.n }));
  const bands = Object.keys(found.confusion);
  const rows = bands.map((band) => ({
    cells: [t(`scores.band.${band}`), ...bands.map((other) => figures(String(found.confusion[band][other])))],
  }));
  return build(
    "section",
    { class: "card suite" },
    build("h2", {}, t("scores.agreement")),
    build("p", {}, said(found.passed)),
    table(t("scores.confusion"), [t("scores.machine_person"), ...bands.map((band) => t(`scores.band.${band}`))], rows),
  );
}

export async function showAppeals(place, { signal }) {
  const held = build("div", { class: "stacked" });
  place.append(build("p", {}, build("a", { href: linkTo("scores") }, t("view.scores"))), held);
  const again = () => fillWith(held, () => appeals(again, signal), signal);
  await again();
}

async function appeals(again, signal) {
  const found = await call("/v1/scores/appeals", { signal });
  if (!found.appeals.length) return empty(t("scores.appeals.none"));
  return found.appeals.map((appeal) => {
    const node = build(
      "article",
      { class: "card case" },
      build("div", { class: "between" }, build("a", { href: linkTo("score", appeal.score_id) }, appeal.conversation_id.slice(0, 20)), badge("plain", appeal.code)),
      build("p", { class: "small" }, dayTime(appeal.appealed_at)),
      appealNote(appeal),
    );
    if (appeal.state === "open" && found.may.includes("decide")) node.append(decision(appeal, again, signal));
    return node;
  });
}

function decision(appeal, again, signal) {
  const verdict = select(["true", "false"].map((name) => [name, t(`scores.uphold.${name}`)]), "true");
  const comment = build("textarea", { name: "comment", rows: "2", required: "", maxlength: "2000" });
  const fields = [field(t("scores.decision"), verdict), field(t("scores.reason"), comment, { class: "field whole" })];
  return savingForm(fields, () => { comment.value = ""; }, async () => {
    const body = { uphold: verdict.value === "true", comment: comment.value };
    await call(`/v1/scores/appeals/${appeal.id}/decision`, { method: "POST", body, signal });
    announce(t("saved"));
    await again();
  });
}
