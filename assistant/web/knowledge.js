/* The knowledge page: who is signed in, which view is open. */

import { enter, showViews } from "./knowledge-kit.js";
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

async function begin() {
  const me = await enter();
  if (!me) return;
  const more = { mayChange: me.roles.some((role) => CHANGERS.includes(role)) };
  await showViews(me, VIEWS, { tabs: Object.keys(VIEWS), more });
}

begin();
