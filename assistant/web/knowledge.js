/* The knowledge page: who is signed in, which view is open. */

import {
  announce, build, button, call, changeLocale, failure, Failure, loadWords, locale, select, t, useToken,
} from "./knowledge-kit.js";
import { LOCALES } from "./widget-strings.js";
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

function frame() {
  const heading = build("h1", { tabindex: "-1" });
  const tabs = Object.keys(VIEWS).map((view) =>
    build("a", { href: `#/${view}`, "data-view": view }, t(`view.${view}`)),
  );
  const languages = select(
    LOCALES.map((name) => [name, t(name)]),
    locale,
    { "aria-label": t("language"), class: "quiet" },
  );
  languages.addEventListener("change", () => changeLocale(languages.value));
  const leave = button(t("sign_out"), { class: "quiet" }, async () => {
    await call("/v1/staff/session", { method: "DELETE" }).catch(() => {});
    location.assign("/sign-in");
  });
  const place = build("div", { id: "view" });
  const skip = build("a", { href: "#view", class: "skip" }, t("skip"));
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    heading.focus();
  });
  document.querySelector("#app").append(
    skip,
    build(
      "header",
      { class: "top" },
      build(
        "p",
        { class: "brand" },
        build("img", { src: "/web/icon.svg", alt: "", width: "24", height: "24" }),
        t("title"),
      ),
      build("div", { class: "who" }, build("span", { class: "name" }, me.name), languages, leave),
      build("nav", { "aria-label": t("views") }, ...tabs),
    ),
    build("main", {}, heading, place),
  );
  return { heading, tabs, place };
}

async function begin() {
  await loadWords();
  try {
    me = await call("/v1/staff/me");
  } catch (error) {
    if (!(error instanceof Failure) || error.status === 401) return;
    document.querySelector("#app").replaceChildren(failure(error, () => location.reload()));
    return;
  }
  useToken(me.csrf_token ?? "");
  const { heading, tabs, place } = frame();
  addEventListener("hashchange", () => open(place, heading, tabs, false));
  await open(place, heading, tabs, true);
  announce("");
}

begin();
