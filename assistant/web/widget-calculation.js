/* What a figure of the answer comes from: headline, instalments as a chart and as a table. */

import { build, drawing } from "./widget-dom.js";

const WIDTH = 320;
const HEIGHT = 128;
/** Below the bars, for the numbers of the first and the last instalment. */
const FOOT = 18;
/** Above them, for the largest amount. */
const HEAD = 18;
/** Parts of an instalment, from the axis up. */
const PARTS = ["principal_cny", "interest_cny", "fee_cny"];

/** Whether a column holds amounts. */
const isAmount = (name) => name.endsWith("_cny");

function amount(text) {
  const [whole, rest] = String(text).split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}${rest ? `.${rest}` : ""}`;
}

/** One calculation as a card; null where it has nothing to show beside its sentences. */
export function calculationCard({ result }) {
  if (!result.headline.length && !result.table) return null;
  const card = build("section", { class: "calculation", "aria-label": result.title });
  card.append(
    build("h3", {}, result.title),
    ...(result.about ? [build("p", { class: "small" }, result.about)] : []),
  );
  if (result.headline.length) card.append(headline(result.headline));
  const { table } = result;
  if (table?.chart && table.rows.length > 1) card.append(chart(table));
  if (table?.rows.length) card.append(rows(table, result.title));
  if (result.formula?.length) card.append(formula(result));
  return card;
}

function headline(figures) {
  const list = build("dl", { class: "headline" });
  for (const { label, value } of figures) {
    list.append(build("div", {}, build("dt", {}, label), build("dd", {}, value)));
  }
  return list;
}

/** Stacked bars, one an instalment, from zero. The table beneath says the same in words. */
function chart(table) {
  const parts = PARTS.filter((part) => table.columns.some(({ name }) => name === part));
  const totals = table.rows.map((row) => parts.reduce((sum, p) => sum + Number(row[p] ?? 0), 0));
  const most = Math.max(...totals, 0.01);
  const step = WIDTH / table.rows.length;
  const width = Math.max(1, Math.min(24, step * 0.72));
  const reach = HEIGHT - FOOT - HEAD;
  const picture = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  for (const [place, row] of table.rows.entries()) {
    let top = HEIGHT - FOOT;
    for (const part of parts) {
      const height = (Number(row[part] ?? 0) / most) * reach;
      top -= height;
      const x = place * step + (step - width) / 2;
      const box = { x: x.toFixed(2), y: top.toFixed(2), width: width.toFixed(2) };
      if (height > 0) {
        picture.append(drawing("rect", { ...box, height: height.toFixed(2), class: part }));
      }
    }
  }
  const foot = HEIGHT - FOOT + 14;
  const axis = { x1: 0, x2: WIDTH, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT };
  const largest = amount(most.toFixed(2));
  picture.append(
    drawing("line", axis),
    drawing("text", { x: 0, y: 12 }, largest),
    drawing("text", { x: 0, y: foot }, String(table.rows[0].term)),
    drawing("text", { x: WIDTH, y: foot, class: "last" }, String(table.rows.at(-1).term)),
  );
  const legend = build("p", { class: "legend small" });
  for (const part of parts) {
    const label = table.columns.find(({ name }) => name === part).label;
    legend.append(build("span", { class: part }, label));
  }
  const caption = build("figcaption", { class: "small", "data-say": "calculation.chart" });
  return build("figure", {}, caption, picture, legend);
}

function rows(table, title) {
  const head = build("tr");
  for (const { label } of table.columns) head.append(build("th", { scope: "col" }, label));
  const body = build("tbody");
  for (const row of table.rows) {
    const line = build("tr");
    for (const { name } of table.columns) {
      const value = row[name] ?? "";
      const cell = isAmount(name) ? amount(value) : `${value}`;
      line.append(build("td", { class: isAmount(name) && "amount" }, cell));
    }
    body.append(line);
  }
  const caption = build("caption", { class: "unseen" }, title);
  return build(
    "details",
    { class: "rows" },
    build("summary", { "data-say": "calculation.rows", "data-count": table.rows.length }),
    build(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      build("table", {}, caption, build("thead", {}, head), body),
    ),
  );
}

function formula({ formula: formulas, conventions = [], sources = [] }) {
  const list = build("ul", { class: "small" });
  const said = [...formulas, ...conventions, ...sources.map(({ title }) => title)];
  for (const line of said) list.append(build("li", {}, line));
  return build(
    "details",
    { class: "rows" },
    build("summary", { "data-say": "calculation.how" }),
    list,
  );
}
