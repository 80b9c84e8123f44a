/* Which campaign runs when, drawn on one axis of time. The days stand beside each bar as text, so
   that the picture is hidden from a screen reader. */

import { build, day, linkTo, t } from "./knowledge-kit.js";
import { drawing } from "./widget-dom.js";
import { campaignState, link, titled } from "./studio-kit.js";

const DAY_MS = 86_400_000;
/** Months of a longer calendar are not all named. */
const MOST_LABELS = 7;

function number(iso) {
  return Date.parse(`${iso}T00:00:00Z`) / DAY_MS;
}

/** First and last day drawn: whole months around all campaigns and today. */
function span(campaigns, today) {
  const days = [today, ...campaigns.flatMap((one) => [one.starts_on, one.ends_on])].sort();
  const first = new Date(`${days[0]}T00:00:00Z`);
  const last = new Date(`${days.at(-1)}T00:00:00Z`);
  return [
    Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), 1) / DAY_MS,
    Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + 1, 1) / DAY_MS,
  ];
}

function months(low, high) {
  const found = [];
  const at = new Date(low * DAY_MS);
  for (; at / DAY_MS < high; at.setUTCMonth(at.getUTCMonth() + 1)) {
    found.push([at / DAY_MS, at.toISOString().slice(0, 7)]);
  }
  return found;
}

function axis(low, high, today) {
  const x = (at) => `${(((at - low) / (high - low)) * 100).toFixed(2)}%`;
  const svg = drawing("svg", { class: "months", "aria-hidden": "true" });
  const all = months(low, high);
  const every = Math.ceil(all.length / MOST_LABELS);
  all.forEach(([at, label], place) => {
    svg.append(drawing("line", { class: "grid", x1: x(at), x2: x(at), y1: 20, y2: 40 }));
    if (place % every) return;
    const minor = (place / every) % 2 ? "tick minor" : "tick";
    svg.append(drawing("text", { class: minor, x: x(at), dx: 3, y: 36 }, label));
  });
  const now = number(today) + 0.5;
  const late = (now - low) / (high - low) > 0.8;
  svg.append(
    drawing("line", { class: "today", x1: x(now), x2: x(now), y1: 4, y2: 40 }),
    drawing(
      "text",
      { class: "today", x: x(now), dx: late ? -4 : 4, y: 14, "text-anchor": late ? "end" : "start" },
      `${t("today")} ${today.slice(5)}`,
    ),
  );
  return { svg, x, all, now };
}

/** A row for each campaign, the bar of its days, and today. */
export function calendar(campaigns, today) {
  const [low, high] = span(campaigns, today);
  const { svg, x, all, now } = axis(low, high, today);
  const list = build("ol", { class: "calendar" });
  for (const one of campaigns) {
    const picture = drawing("svg", { class: "days", "aria-hidden": "true" });
    for (const [at] of all) picture.append(drawing("line", { class: "grid", x1: x(at), x2: x(at), y1: 0, y2: 44 }));
    const [from, to] = [number(one.starts_on), number(one.ends_on) + 1];
    picture.append(
      drawing("rect", {
        class: `bar ${one.state}`, x: x(from), width: `${(((to - from) / (high - low)) * 100).toFixed(2)}%`,
        y: 12, height: 20, rx: 4,
      }),
      drawing("line", { class: "today", x1: x(now), x2: x(now), y1: 0, y2: 44 }),
    );
    list.append(
      build(
        "li",
        { "data-campaign": one.id },
        build(
          "div",
          { class: "named" },
          link(linkTo("campaign", one.id), titled(one.title), { class: "title" }),
          build("span", { class: "row" }, campaignState(one), build("span", { class: "small" }, t("days", { from: day(one.starts_on), to: day(one.ends_on) }))),
        ),
        picture,
      ),
    );
  }
  return build("div", { class: "calendars" }, build("div", { class: "axis-row" }, build("span", { class: "small" }, t("calendar.today", { day: day(today) })), svg), list);
}
