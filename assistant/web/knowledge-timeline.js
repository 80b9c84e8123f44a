/* When each version of a document was, is or will be in force, drawn on one axis of time. */

import { build, force, linkTo, t } from "./knowledge-kit.js";

const SVG = "http://www.w3.org/2000/svg";
const DAY_MS = 86_400_000;
const LANE = 46;
const TOP = 26;
const EDGE = 14;
const LEAST_BAR = 6;

function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function number(iso) {
  return Date.parse(`${iso}T00:00:00Z`) / DAY_MS;
}

/** First and last day drawn: every date that is known and today, with room at both ends. */
function span(versions, today) {
  const days = versions.flatMap((v) => [v.effective_from, v.effective_to]).filter(Boolean).map(number);
  days.push(number(today));
  const low = Math.min(...days);
  const high = Math.max(...days);
  const room = Math.max(60, (high - low) * 0.12);
  return [low - room, high + room];
}

/** Days that carry a label on the axis: years, or quarters where few years are drawn. */
function ticks(low, high) {
  const found = [];
  const months = (high - low) / 365 > 6 ? 24 : (high - low) / 365 > 2.5 ? 12 : 3;
  const first = new Date(low * DAY_MS);
  const at = new Date(Date.UTC(first.getUTCFullYear(), 0, 1));
  for (; at / DAY_MS <= high; at.setUTCMonth(at.getUTCMonth() + months)) {
    const day = at / DAY_MS;
    if (day < low) continue;
    found.push([day, at.toISOString().slice(0, months === 3 ? 7 : 4)]);
  }
  return found;
}

function picture(versions, today, chosen, width) {
  const height = TOP + versions.length * LANE + 8;
  const [low, high] = span(versions, today);
  const x = (day) => EDGE + ((day - low) / (high - low)) * (width - 2 * EDGE);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const now = x(number(today));
  const labels = [];
  let last = -100;
  for (const [day, label] of ticks(low, high)) {
    const at = x(day);
    svg.append(draw("line", { class: "grid", x1: at, x2: at, y1: TOP - 6, y2: height }));
    if (at - last < 58 || at > width - 40 || Math.abs(at + 18 - now) < 62) continue;
    last = at;
    svg.append(draw("text", { class: "tick", x: at + 3, y: 12 }, label));
  }
  versions.forEach((version, lane) => {
    const y = TOP + lane * LANE;
    const from = version.effective_from ? x(number(version.effective_from)) : EDGE;
    const to = version.effective_to ? x(number(version.effective_to) + 1) : width - EDGE;
    const bar = Math.max(LEAST_BAR, to - from);
    const link = draw("a", { href: linkTo("documents", version.source), tabindex: "-1" });
    link.append(
      draw("rect", {
        class: `bar ${version.state}${version.source === chosen ? " chosen" : ""}`,
        x: from, y: y + 18, width: bar, height: 18, rx: 3,
      }),
    );
    // An end that is not set is drawn open, as an arrow into the time that is not shown.
    if (!version.effective_to) {
      const tip = width - EDGE;
      link.append(draw("path", { class: "open", d: `M${tip - 10} ${y + 22}l5 5-5 5` }));
    }
    if (!version.effective_from) {
      link.append(draw("path", { class: "open", d: `M${EDGE + 10} ${y + 22}l-5 5 5 5` }));
    }
    const label = draw(
      "text",
      { class: "label", x: 0, y: y + 12 },
      `${version.version || version.title} · ${t(`state.${version.state}`)}`,
    );
    label.setAttribute("data-from", from);
    svg.append(link);
    labels.push(draw("a", { href: linkTo("documents", version.source), tabindex: "-1" }, label));
  });
  svg.append(
    draw("line", { class: "today", x1: now, x2: now, y1: 16, y2: height }),
    draw("text", { class: "today", x: now, y: 12, "text-anchor": "middle" }, t("today")),
    ...labels,
  );
  return svg;
}

/** A label begins over its bar, unless it would leave the picture. */
function placeLabels(svg, width) {
  for (const label of svg.querySelectorAll("text.label")) {
    const wide = label.getComputedTextLength();
    label.setAttribute("x", Math.max(EDGE, Math.min(Number(label.dataset.from), width - EDGE - wide)));
  }
}

/** The drawing, which follows the width it is given, and what it means in words. */
export function timeline(versions, today, chosen, signal) {
  const said = versions.map(
    (v) => `${v.version || v.title}: ${force(v)}, ${t(`state.${v.state}`)}`,
  );
  const canvas = build("div", {
    class: "timeline",
    role: "img",
    "aria-label": `${t("timeline.label")} ${said.join("; ")}`,
  });
  let drawn = 0;
  const watch = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!width || width === drawn) return;
    drawn = width;
    const svg = picture(versions, today, chosen, width);
    canvas.replaceChildren(svg);
    placeLabels(svg, width);
  });
  watch.observe(canvas);
  signal.addEventListener("abort", () => watch.disconnect());
  return canvas;
}
