/* The studio: who is signed in, which view is open. */

import { announce, build, enter, failure, Failure, frame, t } from "./knowledge-kit.js";
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

let leaving = new AbortController();
let me = null;

const mayWrite = () => me.roles.some((role) => WRITERS.includes(role));

/** View, further parts and values of the address after `#/`. */
function address() {
  const [path, values = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...parts] = path.split("/").map(decodeURIComponent);
  return { view: view in VIEWS ? view : "campaigns", parts, values: new URLSearchParams(values) };
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
  if (!first) {
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  place.replaceChildren();
  try {
    await VIEWS[view](place, { parts, values, signal: leaving.signal, heading, me, mayWrite: mayWrite() });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) throw error;
    place.append(failure(error));
  }
}

async function begin() {
  me = await enter("studio");
  if (!me) return;
  const names = [...new Set(Object.values(TABS))].filter((view) => view !== "brief" || mayWrite());
  const tabs = names.map((view) => build("a", { href: `#/${view}`, "data-view": view }, t(`view.${view}`)));
  const place = build("div", { id: "view" });
  const heading = frame(me, t("views"), tabs, place);
  addEventListener("hashchange", () => open(place, heading, tabs, false));
  await open(place, heading, tabs, true);
  announce("");
}

begin();
