/* The studio: who is signed in, which view is open. */

import { enter, showViews } from "./knowledge-kit.js";
import { showBrief } from "./studio-brief.js";
import { showCampaign, showCampaigns } from "./studio-campaigns.js";
import { showDraft } from "./studio-draft.js";
import { showDrafts } from "./studio-drafts.js";
import { showResults } from "./studio-results.js";

const VIEWS = {
  campaigns: showCampaigns,
  campaign: showCampaign,
  brief: showBrief,
  drafts: showDrafts,
  draft: showDraft,
  results: showResults,
};
/** View -> the tab that is marked while it is open. */
const TABS = {
  campaigns: "campaigns",
  campaign: "campaigns",
  brief: "brief",
  drafts: "drafts",
  draft: "drafts",
  results: "results",
};
const WRITERS = ["marketer", "admin"];

async function begin() {
  const me = await enter("studio");
  if (!me) return;
  const mayWrite = me.roles.some((role) => WRITERS.includes(role));
  const tabs = [...new Set(Object.values(TABS))].filter((view) => view !== "brief" || mayWrite);
  await showViews(me, VIEWS, { tabs, tabOf: TABS, more: { me, mayWrite }, toTop: true });
}

begin();
