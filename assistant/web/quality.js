/* The quality page: who is signed in, which view is open. */

import { enter, showViews } from "./knowledge-kit.js";
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
/** Roles that may see how good the assistant is; the server holds to the same table. */
const READERS = ["supervisor", "compliance", "admin", "auditor"];
/** What agents are shown who are none of them: scores of conversations that they took part in. */
const OWN = ["scores", "score", "appeals"];

async function begin() {
  const me = await enter("quality");
  if (!me) return;
  const ownOnly = !me.roles.some((role) => READERS.includes(role));
  const views = ownOnly ? Object.fromEntries(OWN.map((view) => [view, VIEWS[view]])) : VIEWS;
  const tabs = [...new Set(Object.keys(views).map((view) => TABS[view]))];
  const more = { mayRead: me.roles.includes("auditor"), ownOnly, login: me.login };
  await showViews(me, views, { tabs, tabOf: TABS, more });
}

begin();
