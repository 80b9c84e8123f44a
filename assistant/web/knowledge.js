/* The knowledge page: who is signed in, which view is open. */

import { announce, build, enter, failure, Failure, frame, t } from "./knowledge-kit.js";
import { showDiff } from "./knowledge-diff.js";
import { showDocument, showDocuments } from "./knowledge-documents.js";
import { showFindings } from "./knowledge-findings.js";
import { showQuery } from "./knowledge-query.js";
import { showQuestions } from "./knowledge-questions.js";
import { showReleases } from "./knowledge-releases.js";
import { showUpload } from "./knowledge-upload.js";

const VIEWS = {
  documents: (place, context) =>
    context.parts.length ? showDocument(place, context) : showDocuments(place, context),
  diff: showDiff,
  query: showQuery,
  upload: showUpload,
  questions: showQuestions,
  findings: showFindings,
  releases: showReleases,
};
/** Roles that may change what is live; the server holds to the same table. */
const CHANGERS = ["compliance", "admin"];

let leaving = new AbortController();
let me = null;

/** View, further parts and values of the address after `#/`. */
function address() {
  const [path, values = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...parts] = path.split("/").map(decodeURIComponent);
  return { view: view in VIEWS ? view : "documents", parts, values: new URLSearchParams(values) };
}

async function open(place, heading, tabs, first) {
  leaving.abort();
  leaving = new AbortController();
  const { view, parts, values } = address();
  for (const tab of tabs) {
    const here = tab.dataset.view === view;
    if (here) {
      tab.setAttribute("aria-current", "page");
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else tab.removeAttribute("aria-current");
  }
  heading.textContent = t(`view.${view}`);
  document.title = `${t(`view.${view}`)} · ${t("title")}`;
  if (!first) heading.focus({ preventScroll: true });
  const context = {
    parts,
    values,
    signal: leaving.signal,
    heading,
    mayChange: me.roles.some((role) => CHANGERS.includes(role)),
  };
  place.replaceChildren();
  try {
    await VIEWS[view](place, context);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) throw error;
    place.append(failure(error));
  }
}

async function begin() {
  me = await enter();
  if (!me) return;
  const tabs = Object.keys(VIEWS).map((view) =>
    build("a", { href: `#/${view}`, "data-view": view }, t(`view.${view}`)),
  );
  const place = build("div", { id: "view" });
  const heading = frame(me, t("views"), tabs, place);
  addEventListener("hashchange", () => open(place, heading, tabs, false));
  await open(place, heading, tabs, true);
  announce("");
}

begin();
