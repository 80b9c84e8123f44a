/* What every page for staff uses: wording, requests, the frame, and small parts. */

import { build } from "./widget-dom.js";
import { chooseLocale, fill, loadStrings, LOCALES, longDate, STAFF_LOCALE_KEY } from "./widget-strings.js";

export { build };

let words = {};
let csrfToken = "";
export let locale = "zh-Hans";

// Wording

/** Loads the wording of the pages named; where two word the same thing, the later one counts. */
export async function loadWords(...pages) {
  locale = chooseLocale([localStorage.getItem(STAFF_LOCALE_KEY), ...navigator.languages]);
  const loaded = await Promise.all(pages.map((page) => loadStrings(locale, page)));
  words = Object.assign({}, ...loaded);
  document.documentElement.lang = locale;
}

/** Keeps the choice and begins the page anew in that language. */
export function changeLocale(chosen) {
  localStorage.setItem(STAFF_LOCALE_KEY, chosen);
  location.reload();
}

export function says(key) {
  return key in words;
}

/** The wording of a key, each {name} replaced by its value. */
export function t(key, values) {
  return fill(words[key] ?? key, values);
}

const LIST = ["read.{names} and {count} more"];
const INNER = {
  pages: said, remedy: said, fault: said,
  sheets: listed, rows: listed, columns: listed, cells: listed, lines: listed,
};
const FIGURES = ["count", "number"];

/** What a server said in English with its own names and figures, in the language of the page where it
    is worded: its keys are `read.` and the English with a {name} for each of them. Remarks within it
    are worded, too, as is what stands before a colon; names stay as they are. */
export function said(message) {
  return worded(message, Object.keys(words).filter((key) => key.startsWith("read.")));
}

function listed(names) {
  return worded(names, LIST);
}

function worded(message, keys) {
  for (const key of keys) {
    const names = [...key.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const literals = key.slice("read.".length).split(/\{\w+\}/);
    const pattern = literals
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .reduce((whole, part, at) => `${whole}${FIGURES.includes(names[at - 1]) ? "([\\d,]+)" : "(.+?)"}${part}`);
    const [whole, before, ...values] = new RegExp(`^(?:(.+): )?${pattern}$`, "s").exec(message) ?? [];
    if (!whole) continue;
    const told = t(key, Object.fromEntries(names.map((name, at) => [name, INNER[name]?.(values[at]) ?? values[at]])));
    return [...(before?.split(": ").map((part) => worded(part, keys)) ?? []), told].join(": ");
  }
  return message;
}

export function day(iso) {
  return iso ? longDate(iso, locale) : "";
}

/** A day and time, short, in the language of the page. */
export function dayTime(instant) {
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(instant),
  );
}

export function force({ effective_from: from, effective_to: to }) {
  if (from && to) return t("force.between", { from, to });
  if (from) return t("force.from", { from });
  return to ? t("force.to", { to }) : t("force.open");
}

export function size(bytes) {
  if (bytes >= 2 ** 20) return `${(bytes / 2 ** 20).toFixed(1)} MB`;
  return bytes >= 1024 ? `${Math.round(bytes / 1024)} KB` : `${bytes} B`;
}

// Requests

export class Failure extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? "");
    this.status = status;
    this.code = problem.code ?? "";
    this.trace = problem.trace_id ?? "";
    this.fields = problem.fields ?? [];
    this.review = problem.review ?? null;
  }

  get told() {
    for (const key of [`failed.${this.code}`, `failed.${this.status}`]) {
      if (key in words) return t(key);
    }
    return this.message || t("failed.other");
  }
}

/** Where to sign in, and to come back from. */
export function toSignIn() {
  const back = `${location.pathname}${location.search}${location.hash}`;
  location.assign(`/sign-in?next=${encodeURIComponent(back)}`);
}

export function headers(more = {}) {
  const all = { Accept: "application/json", "Accept-Language": locale, ...more };
  if (csrfToken) all["X-CSRF-Token"] = csrfToken;
  return all;
}

/** Aborted when one signs out: nothing more is asked for, nor what was asked for waited for. */
let staying = new AbortController();
// A page that "back" brings up again asks, and is sent to sign in.
addEventListener("pageshow", () => {
  if (staying.signal.aborted) staying = new AbortController();
});
/** What is being changed when one signs out is changed before, if that takes no longer. */
const CHANGE_MS = 2000;
const changes = new Set();

/** The signal of one request, which ends with `signal` and when one signs out, and `done`, to be
    called when the request is over. */
export function untilLeft(signal) {
  const line = new AbortController();
  const cut = () => line.abort();
  const ends = [staying.signal, ...(signal ? [signal] : [])];
  for (const end of ends) end.addEventListener("abort", cut);
  if (ends.some((end) => end.aborted)) cut();
  const done = () => ends.forEach((end) => end.removeEventListener("abort", cut));
  return { signal: line.signal, done };
}

/** Ends what is being asked for, and signs out. */
async function signOut() {
  if (staying.signal.aborted) return;
  staying.abort();
  const late = new Promise((resolve) => setTimeout(resolve, CHANGE_MS));
  await Promise.race([Promise.allSettled(changes), late]);
  await fetch("/v1/staff/session", { method: "DELETE", headers: headers() }).catch(() => {});
  location.assign("/sign-in");
}

/** JSON of an address of ours; rejects with a Failure, or an AbortError. One that is under way when
    one signs out never settles. */
export async function call(path, { method = "GET", body, type = "application/json", signal } = {}) {
  const life = staying.signal;
  if (life.aborted) return new Promise(() => {});
  const until = untilLeft(signal);
  const changing = method !== "GET" && !signal;
  const asked = fetch(path, {
    method,
    signal: changing ? null : until.signal,
    headers: headers(body === undefined ? {} : { "Content-Type": type }),
    body: type === "application/json" && body !== undefined ? JSON.stringify(body) : body,
  });
  if (changing) changes.add(asked);
  let response;
  let answer;
  try {
    response = await asked;
    answer = await response.json();
  } catch (error) {
    if (life.aborted) return new Promise(() => {});
    if (error.name === "AbortError") throw error;
    if (!response) throw new Failure(0, { code: "offline" });
    answer = {};
  } finally {
    changes.delete(asked);
    until.done();
  }
  if (life.aborted) return new Promise(() => {});
  if (response.status === 401) toSignIn();
  if (!response.ok) throw new Failure(response.status, answer);
  return answer;
}

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const PAGE = 20;

/** A list that comes in pages: `load` gives as much of it as was shown before, `more` the button
    that puts the next page, drawn by `card`, at the end of `list`, or in its own place. */
export function paged(path, key, signal) {
  let shown = PAGE;
  const read = (offset) => {
    const [place, given = ""] = path.split("?");
    const wanted = { ...Object.fromEntries(new URLSearchParams(given)), offset, limit: PAGE };
    return call(`${place}${query(wanted)}`, { signal });
  };
  return {
    async load() {
      const found = await read(0);
      while (found.next !== null && found[key].length < shown) {
        const later = await read(found.next);
        found[key].push(...later[key]);
        found.next = later.next;
      }
      return found;
    },
    more(found, label, card, list = null) {
      if (found.next === null) return [];
      const fault = build("div");
      const next = button(label, { class: "plain" }, async () => {
        next.disabled = true;
        fault.replaceChildren();
        try {
          const later = await read(found.next);
          shown += PAGE;
          const cards = later[key].map(card);
          const rest = this.more(later, label, card, list);
          fault.remove();
          list?.append(...cards);
          next.replaceWith(...(list ? rest : [...cards, ...rest]));
          cards[0]?.querySelector("summary, button, a")?.focus();
        } catch (error) {
          if (error.name === "AbortError") return;
          if (!(error instanceof Failure)) throw error;
          next.disabled = false;
          fault.replaceChildren(failure(error));
        }
      });
      return [next, fault];
    },
  };
}

// The frame

/** Who is signed in; null where the page is being left to sign in, or shows why it cannot begin. */
export async function enter(...pages) {
  await loadWords("knowledge", ...pages);
  try {
    const me = await call("/v1/staff/me");
    csrfToken = me.csrf_token ?? "";
    return me;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.status !== 401) {
      document.querySelector("#app").replaceChildren(failure(error, () => location.reload()));
    }
    return null;
  }
}

/** The header with the other pages and the views of this one, and the heading.

    beforeLeave: called before one signs out. */
export function frame(me, views, tabs, place, beforeLeave = () => {}) {
  const heading = build("h1", { tabindex: "-1" });
  const languages = select(
    LOCALES.map((name) => [name, t(name)]),
    locale,
    { "aria-label": t("language"), class: "quiet" },
  );
  languages.addEventListener("change", () => changeLocale(languages.value));
  const leave = button(t("sign_out"), { class: "quiet" }, () => {
    beforeLeave();
    signOut();
  });
  const skip = build("a", { href: `#${place.id}`, class: "skip" }, t("skip"));
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    heading.focus();
  });
  const others = me.pages
    .filter((page) => page !== location.pathname && says(`page.${page.slice(1)}`))
    .map((page) => build("a", { href: page }, t(`page.${page.slice(1)}`)));
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
      build("nav", { "aria-label": views }, ...tabs, ...others),
    ),
    build("main", {}, heading, place),
  );
  return heading;
}

/** A page of several views: the one that the address names after `#/` is shown, else the first.

    views: name -> what fills a place, given parts and values of the address, what ends when one
    leaves, the heading, and `more`. tabs: the views that have one, in order. tabOf: view -> the tab
    that is marked while it is open, where that is another. toTop: whether each view begins at its
    top. */
export async function showViews(me, views, { tabs, tabOf = {}, more = {}, toTop = false }) {
  const [first] = Object.keys(views);
  const links = tabs.map((view) =>
    build("a", { href: `#/${view}`, "data-view": view }, t(`view.${view}`)),
  );
  const place = build("div", { id: "view" });
  const heading = frame(me, t("views"), links, place);
  let leaving = new AbortController();

  async function open(again) {
    leaving.abort();
    leaving = new AbortController();
    const [path, values = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [named, ...parts] = path.split("/").map(decodeURIComponent);
    const view = Object.hasOwn(views, named) ? named : first;
    for (const link of links) {
      if (link.dataset.view === (tabOf[view] ?? view)) {
        link.setAttribute("aria-current", "page");
        link.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else link.removeAttribute("aria-current");
    }
    heading.textContent = t(`view.${view}`);
    document.title = `${t(`view.${view}`)} · ${t("title")}`;
    if (again) heading.focus({ preventScroll: true });
    if (again && toTop) scrollTo(0, 0);
    place.replaceChildren();
    const asked = { parts, values: new URLSearchParams(values), signal: leaving.signal, heading };
    try {
      await views[view](place, { ...asked, ...more });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      place.append(failure(error));
    }
  }

  addEventListener("hashchange", () => open(true));
  await open(false);
  announce("");
}

// Parts

export function button(text, attributes = {}, onClick = null) {
  const node = build("button", { type: "button", ...attributes }, text);
  if (onClick) node.addEventListener("click", onClick);
  return node;
}

export function badge(kind, text, attributes = {}) {
  return build("span", { class: `badge ${kind}`, ...attributes }, text);
}

/** In force, ended or still to come: a sign and a word, never the colour alone. */
export function stateBadge(state) {
  return badge(state, t(`state.${state}`));
}

export function field(label, control, attributes = {}) {
  const id = control.id || `f${(field.count = (field.count ?? 0) + 1)}`;
  control.id = id;
  return build(
    "div",
    { class: "field", ...attributes },
    build("label", { for: id }, label),
    control,
  );
}

export function select(options, value = "", attributes = {}) {
  const node = build("select", attributes);
  for (const [key, text] of options) node.append(build("option", { value: key }, text));
  node.value = value;
  return node;
}

export function kinds(first) {
  const all = ["regulation", "product", "policy", "faq", "campaign", "script"];
  return [["", first], ...all.map((kind) => [kind, t(`kind.${kind}`)])];
}

export function audiences(first) {
  return [["", first], ...["borrower", "agent"].map((who) => [who, t(`audience.${who}`)])];
}

/** A table whose cells carry their column's name, so that a phone can stack them. */
export function table(caption, columns, rows) {
  const head = build("tr");
  for (const column of columns) head.append(build("th", { scope: "col" }, column));
  const body = build("tbody");
  for (const { cells, attributes = {} } of rows) {
    const row = build("tr", attributes);
    cells.forEach((cell, at) => {
      const parts = Array.isArray(cell) ? cell : [cell];
      const nothing = cell === "–" && "nothing";
      row.append(build("td", { "data-column": columns[at], class: nothing }, ...parts));
    });
    body.append(row);
  }
  return build(
    "table",
    {},
    build("caption", { class: "unseen" }, caption),
    build("thead", {}, head),
    body,
  );
}

export function empty(text, ...more) {
  return build("div", { class: "empty" }, build("p", {}, text), ...more);
}

export function note(text, kind = "") {
  return build("p", { class: `note ${kind}` }, text);
}

/** What went wrong, in words, with a way to try again. */
export function failure(error, retry = null) {
  const box = build("div", { class: "failure", role: "alert" }, build("p", {}, error.told ?? t("failed.other")));
  if (error.trace) box.append(build("p", { class: "small" }, t("failed.trace", { trace: error.trace })));
  if (retry) box.append(button(t("retry"), { class: "plain" }, retry));
  return box;
}

export function skeleton() {
  const lines = Array.from({ length: 5 }, () => build("span", { class: "bone" }));
  return build("div", { class: "skeleton", role: "status", "aria-label": t("loading") }, ...lines);
}

/** Fills `place` with what `load` makes; shows a skeleton meanwhile, and a failure if it fails. */
export async function fillWith(place, load, signal) {
  place.replaceChildren(skeleton());
  place.setAttribute("aria-busy", "true");
  try {
    const made = await load();
    if (!signal?.aborted) place.replaceChildren(...[made].flat());
  } catch (error) {
    if (error.name === "AbortError" || signal?.aborted) return;
    if (!(error instanceof Failure)) throw error;
    place.replaceChildren(failure(error, () => fillWith(place, load, signal)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

let speaker = null;

/** Tells users of a screen reader what has changed. */
export function announce(text) {
  speaker ??= document.body.appendChild(build("p", { class: "unseen", role: "status" }));
  speaker.textContent = text;
}

/** Asks before something that others will notice; resolves to whether it shall be done. */
export function confirmed(title, text, action) {
  const yes = button(action, { class: "strong" });
  const no = button(t("cancel"), { class: "plain" });
  const dialog = build(
    "dialog",
    { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
    build("h2", { id: "ask-title" }, title),
    build("p", { id: "ask-text" }, text),
    build("div", { class: "row" }, no, yes),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    yes.addEventListener("click", () => dialog.close("yes"));
    no.addEventListener("click", () => dialog.close(""));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
    no.focus();
  });
}

export function linkTo(view, ...parts) {
  return `#/${[view, ...parts.map(encodeURIComponent)].join("/")}`;
}

export function linkToClause(source, clauseId) {
  return `${linkTo("documents", source)}${query({ clause: clauseId })}`;
}

/** Copies an address; says so on the button that was pressed. */
export async function copyLink(hash, pressed) {
  const address = new URL(hash, location.href).href;
  let worked = true;
  try {
    await navigator.clipboard.writeText(address);
  } catch {
    worked = false;
  }
  if (!worked) {
    // Not allowed, or no secure origin: the address is put where it can be copied by hand.
    const shown = build("input", { readonly: true, value: address, "aria-label": t("link.copy") });
    pressed.after(shown);
    shown.select();
    return;
  }
  const before = pressed.textContent;
  pressed.textContent = t("link.copied");
  announce(t("link.copied"));
  setTimeout(() => (pressed.textContent = before), 2000);
}
