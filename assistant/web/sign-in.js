/* Signing in: the form, the demo accounts where there are any, and the way on to a page. */

import { build } from "./widget-dom.js";
import { chooseLocale, fill, loadStrings, say, STAFF_LOCALE_KEY } from "./widget-strings.js";

const part = (id) => document.getElementById(id);
const form = part("form");
const error = part("error");
const login = part("login");
const password = part("password");

let locale = "zh-Hans";
let words = {};
let me = null;
let wording = Promise.resolve();

// Wording

function t(key, values) {
  return fill(words[key] ?? key, values);
}

/** Puts the page into a language. What is told meanwhile waits for it, or it would be wiped out. */
function useLocale(chosen) {
  wording = load(chosen);
  return wording;
}

async function load(chosen) {
  words = await loadStrings(chosen, "sign-in");
  locale = chosen;
  document.documentElement.lang = locale;
  document.title = t("title");
  for (const button of document.querySelectorAll("[data-locale]")) {
    button.setAttribute("aria-pressed", String(button.dataset.locale === locale));
  }
  say(document.body, words);
  tell("");
  if (me) showSignedIn();
}

function tell(text, field = null) {
  error.textContent = text;
  for (const input of [login, password]) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", "error");
  field.focus();
}

// The way on

/** Where the address wants to lead, if that is a page of ours; a link may name anything.

    What counts is the address as the browser reads it: "/\host" and "/.//host" lead elsewhere or
    nowhere, however they begin. */
function wanted() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  if (!next.startsWith("/") || !URL.canParse(next, location.origin)) return null;
  const url = new URL(next, location.origin);
  if (url.origin !== location.origin || url.pathname === location.pathname) return null;
  if (!url.hash) url.hash = location.hash;
  return url;
}

function mayOpen(url) {
  return me.pages.some((page) => url.pathname === page || url.pathname.startsWith(`${page}/`));
}

function goOn() {
  const url = wanted();
  if (url && mayOpen(url)) location.replace(url.href);
  else if (!url && me.pages.length === 1) location.replace(me.pages[0]);
  else showSignedIn();
}

function showSignedIn() {
  form.hidden = true;
  part("demo").hidden = true;
  part("heading").textContent = t("signed_in");
  delete part("heading").dataset.say;
  part("who").textContent = t("signed_in.as", {
    name: me.name,
    login: me.login,
    roles: me.roles.map((role) => t(`role.${role}`)).join(t("list.and")),
  });
  const links = me.pages.map((page) =>
    build("li", {}, build("a", { href: page }, t(`page.${page.slice(1)}`))),
  );
  part("pages").replaceChildren(...links);
  part("no-pages").hidden = links.length > 0;
  part("signed-in").hidden = false;
  part("heading").focus();
  if (wanted()) tell(t("role.missing"));
}

// Requests

async function call(path, method = "GET", body = null) {
  const headers = { Accept: "application/json", "Accept-Language": locale };
  if (body) headers["Content-Type"] = "application/json";
  if (me) headers["X-CSRF-Token"] = me.csrf_token;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  return { ok: response.ok, status: response.status, answer };
}

async function signIn(name, secret) {
  tell("");
  form.setAttribute("aria-busy", "true");
  const buttons = document.querySelectorAll("button[type=submit], #demo button");
  for (const button of buttons) button.disabled = true;
  try {
    const { ok, answer } = await call("/v1/staff/session", "POST", { login: name, password: secret });
    if (ok) {
      me = answer;
      password.value = "";
      goOn();
    } else {
      password.value = "";
      tell(answer.detail || t("failed"), password);
    }
  } catch {
    tell(t("offline"));
  } finally {
    form.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  await wording.catch(() => {});
  if (!login.value.trim()) tell(t("login.missing"), login);
  else if (!password.value) tell(t("password.missing"), password);
  else signIn(login.value, password.value);
});

part("reveal").addEventListener("click", ({ currentTarget }) => {
  const shown = password.type === "text";
  password.type = shown ? "password" : "text";
  currentTarget.setAttribute("aria-pressed", String(!shown));
  password.focus();
});

part("sign-out").addEventListener("click", async () => {
  try {
    const { ok, status, answer } = await call("/v1/staff/session", "DELETE");
    if (ok || status === 401) location.replace("/sign-in");
    else tell(answer.detail || t("failed"));
  } catch {
    tell(t("offline"));
  }
});

for (const button of document.querySelectorAll("[data-locale]")) {
  button.addEventListener("click", () => {
    localStorage.setItem(STAFF_LOCALE_KEY, button.dataset.locale);
    useLocale(button.dataset.locale).catch(() => tell(t("offline")));
  });
}

async function showDemo() {
  const { ok, answer } = await call("/v1/staff/demo");
  if (!ok || !answer.accounts.length) return;
  const rows = answer.accounts.map((account) => {
    const role = build("span", { class: "role", "data-say": `role.${account.roles[0]}` });
    const name = build("span", { class: "login" }, account.login);
    const button = build("button", { type: "button" }, role, name);
    button.addEventListener("click", () => {
      login.value = account.login;
      signIn(account.login, answer.password);
    });
    return build("li", {}, button);
  });
  part("demo-accounts").replaceChildren(...rows);
  say(part("demo-accounts"), words);
  part("demo").hidden = false;
}

try {
  await useLocale(chooseLocale([localStorage.getItem(STAFF_LOCALE_KEY), ...navigator.languages]));
  const { ok, answer } = await call("/v1/staff/me");
  if (ok) {
    me = answer;
    goOn();
  } else {
    await showDemo();
  }
} catch {
  tell(t("offline"));
}
