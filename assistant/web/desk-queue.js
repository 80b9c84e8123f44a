/* The queue of the desk: who waits, who has a ticket, who is with whom. */

import { badge, build, button, locale, t } from "./knowledge-kit.js";

/** A minute between two looks at the clock would be late by as much. */
const CLOCK_MS = 10_000;
/** From so many minutes on, a wait is marked. */
const LONG_MIN = 5;

export function duration(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return t("seconds");
  if (minutes < 60) return t("minutes", { count: minutes });
  return t("hours", { hours: Math.floor(minutes / 60), count: minutes % 60 });
}

/** Of the desk's own clock, by which borrowers are promised an answer, wherever the agent is. */
const CLOCK = { timeZone: "Asia/Shanghai", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export function shortTime(instant) {
  const at = new Date(instant);
  const day = (when) => when.toLocaleDateString("en", { timeZone: CLOCK.timeZone });
  const date = day(at) === day(new Date()) ? {} : { month: "numeric", day: "numeric" };
  return new Intl.DateTimeFormat(locale, { ...date, ...CLOCK }).format(at);
}

/** The worst first: the reasons of a hand-over in words. */
export function reasons(row, words) {
  return row.classes.map((each) => words.reasons[each]?.[locale] ?? each);
}

function group(row) {
  if (row.state === "waiting") return "waiting";
  if (row.state === "ticket") return "ticket";
  return row.mine ? "mine" : "others";
}

/** The list. act: {take(row), open(row)}. */
export function queueList(act) {
  const node = build("div", { class: "groups" });
  let skew = 0;
  let clocks = [];

  function tick() {
    const now = Date.now() + skew;
    for (const clock of clocks) clock(now);
  }

  function item(row, words, state) {
    const [first, ...others] = reasons(row, words);
    const skill = words.skills[row.skill]?.[locale] ?? row.skill;
    const wait = build("span", { class: "wait figures" });
    const late = row.state === "ticket";
    const asked = Date.parse(row.asked_at);
    const due = row.promised_at ? Date.parse(row.promised_at) : null;
    const take = row.may_take && button(t("take"), { class: "strong small-button" }, () => act.take(row));
    clocks.push((now) => {
      const waited = duration(now - asked);
      const over = late ? due !== null && now > due : (now - asked) / 60_000 >= LONG_MIN;
      wait.classList.toggle("long", over && row.state !== "taken");
      if (late && due !== null) wait.textContent = t(over ? "late" : "due", { time: shortTime(due) });
      else if (row.state === "taken") wait.textContent = row.mine ? "" : t("with", { name: row.taken_by });
      else wait.textContent = t("waited", { wait: waited });
      if (take) take.setAttribute("aria-label", t("take.label", { reason: first, wait: waited }));
    });
    const opens = row.mine || state.mayRead;
    const title = opens
      ? button(first, { class: "title-button", "aria-current": state.open === row.id && "true" }, () => act.open(row))
      : build("span", { class: "title" }, first);
    const urgent = row.priority <= state.urgent && badge("failed", t("urgent"));
    return build(
      "li",
      { class: `case ${row.state}`, "data-id": row.id, "data-here": String(state.open === row.id) },
      build("div", { class: "between" }, build("span", { class: "row" }, title, urgent || ""), wait),
      build(
        "div",
        { class: "between small" },
        build("span", { class: "row" }, skill, ...others.map((each) => badge("plain", each))),
        build(
          "span",
          { class: "row" },
          row.held > 0 ? badge("stale", t("held", { count: row.held })) : "",
          state.unread.has(row.id) ? badge("current", t("unread")) : "",
          take || "",
        ),
      ),
    );
  }

  return {
    node,
    /** words: of the plan. state: {open, unread, mayRead, urgent, now}. */
    draw(rows, words, state) {
      skew = Date.parse(state.now) - state.readAt;
      clocks = [];
      const focused = node.contains(document.activeElement) && document.activeElement.closest(".case")?.dataset.id;
      const groups = new Map(["mine", "waiting", "ticket", "others"].map((key) => [key, []]));
      for (const row of rows) groups.get(group(row)).push(row);
      const drawn = [];
      for (const [key, members] of groups) {
        if (!members.length && key !== "waiting") continue;
        const list = build("ul", { class: "cases" }, ...members.map((row) => item(row, words, state)));
        drawn.push(
          build(
            "section",
            { "data-group": key },
            build("h2", {}, t(`group.${key}`, { count: members.length })),
            members.length ? list : build("p", { class: "small nobody" }, t("none.waiting")),
          ),
        );
      }
      node.replaceChildren(...drawn);
      tick();
      if (focused) node.querySelector(`[data-id="${focused}"] button`)?.focus();
    },
    start(signal) {
      const timer = setInterval(tick, CLOCK_MS);
      signal.addEventListener("abort", () => clearInterval(timer));
    },
  };
}
