/* Shares with their intervals, drawn: along one line, or over time. The figures stand beside each
   picture as text, so that the pictures are hidden from a screen reader. */

import { says, t } from "./knowledge-kit.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 340;
const HEIGHT = 168;
const LEFT = 40;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 26;
/** Points whose marks still have room beside each other; of more, the last are drawn. */
const MOST_POINTS = 60;

function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** A metric's name in the language of the page; one that is not known keeps its own. */
export function metricName(name) {
  return says(`metric.${name}`) ? t(`metric.${name}`) : name;
}

export function share(value) {
  return value.toFixed(3);
}

export function interval({ low, high }) {
  return `${share(low)}–${share(high)}`;
}

const across = (value) => `${3 + 94 * value}%`;

/** A share from 0 to 1 with its interval, its bar and what it was before. */
export function strip({ value, low, high }, { bar = null, before = null } = {}) {
  const missed = bar !== null && value < bar;
  const svg = draw("svg", { class: missed ? "strip missed" : "strip", "aria-hidden": "true" });
  svg.append(draw("line", { class: "axis", x1: across(0), x2: across(1), y1: 10, y2: 10 }));
  svg.append(draw("line", { class: "axis", x1: "50%", x2: "50%", y1: 7, y2: 13 }));
  if (bar !== null) svg.append(draw("line", { class: "goal", x1: across(bar), x2: across(bar), y1: 1, y2: 19 }));
  svg.append(draw("line", { class: "interval", x1: across(low), x2: across(high), y1: 10, y2: 10 }));
  if (before !== null) svg.append(draw("circle", { class: "before", cx: across(before), cy: 10, r: 4.5 }));
  svg.append(draw("circle", { class: "value", cx: across(value), cy: 10, r: 4 }));
  return svg;
}

/** The lowest tick such that everything is seen: an axis of shares need not begin at zero, since
    they are compared with each other and with their bar, and its ends are labelled. */
function floorOf(points, bar) {
  const least = Math.min(...points.map((point) => point.low), bar ?? 1);
  return Math.min(0.9, Math.max(0, Math.floor(least * 10 - 0.01) / 10));
}

/** Shares over time, the oldest first: {value, low, high, label, mark}. */
export function timeChart(all, { bar = null } = {}) {
  const points = all.slice(-MOST_POINTS);
  const floor = floorOf(points, bar);
  const right = WIDTH - RIGHT;
  const step = points.length > 1 ? (right - LEFT - 12) / (points.length - 1) : 0;
  const x = (at) => (points.length > 1 ? LEFT + 6 + at * step : (LEFT + right) / 2);
  const y = (value) => TOP + ((1 - value) / (1 - floor)) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", { class: "over-time", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  for (const tick of [floor, (1 + floor) / 2, 1]) {
    svg.append(draw("line", { class: "axis", x1: LEFT, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
  }
  if (bar !== null) svg.append(draw("line", { class: "goal", x1: LEFT, x2: right, y1: y(bar), y2: y(bar) }));
  const path = points.map((point, at) => `${at ? "L" : "M"}${x(at)} ${y(point.value)}`).join("");
  svg.append(draw("path", { class: "course", d: path }));
  points.forEach((point, at) => {
    const kind = point.mark ?? (bar !== null && point.value < bar ? "missed" : "");
    const group = draw("g", { class: `point ${kind}` });
    group.append(
      draw("line", { class: "interval", x1: x(at), x2: x(at), y1: y(Math.max(point.low, floor)), y2: y(point.high) }),
      kind === "worse" || kind === "missed"
        ? draw("path", { class: "value", d: `M${x(at) - 5} ${y(point.value) - 4}h10l-5 9z` })
        : draw("circle", { class: "value", cx: x(at), cy: y(point.value), r: 4 }),
      draw("title", {}, `${point.label} ${share(point.value)}`),
    );
    svg.append(group);
  });
  const first = points[0];
  const last = points.at(-1);
  svg.append(draw("text", { x: LEFT, y: HEIGHT - 6 }, first.label));
  if (points.length > 1) {
    svg.append(draw("text", { x: right, y: HEIGHT - 6, "text-anchor": "end" }, last.label));
  }
  return svg;
}
