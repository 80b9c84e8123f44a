/* The quality page: who is signed in, which view is open. */

import { announce, build, enter, failure, Failure, frame, t } from "./knowledge-kit.js";
import { showAnswers } from "./quality-answers.js";
import { showCases } from "./quality-cases.js";
import { showCompare } from "./quality-compare.js";
import { showFeedback } from "./quality-feedback.js";
import { showLabels } from "./quality-labels.js";
import { showLive } from "./quality-live.js";
import { showRun, showRuns } from "./quality-runs.js";
import { showAppeals, showSamples, showScore, showScores } from "./quality-scores.js";

const VIEWS = {
  runs: showRuns,
  run: showRun,
  cases: showCases,
  compare: showCompare,
  live: showLive,
  feedback: showFeedback,
  labels: showLabels,
  answers: showAnswers,
  scores: showScores,
  score: showScore,
  samples: showSamples,
  appeals: showAppeals,
};
/** View -> the tab that is marked while it is open. */
const TABS = {
  runs: "runs",
  run: "runs",
  cases: "runs",
  compare: "compare",
  live: "live",
  feedback: "feedback",
  labels: "feedback",
  answers: "feedback",
  scores: "scores",
  score: "scores",
  samples: "scores",
  appeals: "scores",
};

let leaving = new AbortController();
let me = null;

/** View, further parts and values of the address after `#/`. */
function address() {
  const [path, values = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...parts] = path.split("/").map(decodeURIComponent);
  return { view: view in VIEWS ? view : "runs", parts, values: new URLSearchParams(values) };
}

async function open(place, heading, tabs, first) {
  leaving.abort();
  leaving = new AbortController();
  const { view, parts, values } = address();
  for (const tab of tabs) {
    if (tab.dataset.view === TABS[view]) {
      tab.setAttribute("aria-current", "page");
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else tab.removeAttribute("aria-current");
  }
  heading.textContent = t(`view.${view}`);
  document.title = `${t(`view.${view}`)} · ${t("title")}`;
  if (!first) heading.focus({ preventScroll: true });
  place.replaceChildren();
  try {
    await VIEWS[view](place, {
      parts,
      values,
      signal: leaving.signal,
      heading,
      mayRead: me.roles.includes("auditor"),
    });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) throw error;
    place.append(failure(error));
  }
}

async function begin() {
  me = await enter("quality");
  if (!me) return;
  const tabs = [...new Set(Object.values(TABS))].map((view) =>
    build("a", { href: `#/${view}`, "data-view": view }, t(`view.${view}`)),
  );
  const place = build("div", { id: "view" });
  const heading = frame(me, t("views"), tabs, place);
  addEventListener("hashchange", () => open(place, heading, tabs, false));
  await open(place, heading, tabs, true);
  announce("");
}

begin();
