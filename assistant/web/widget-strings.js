/* The wording of a page: which locale, loading it, and putting it on nodes. */

export const LOCALES = ["zh-Hans", "zh-Hant", "en"];
/** Where the staff pages keep the language that was chosen. */
export const STAFF_LOCALE_KEY = "zhunxin:staff-locale";

function match(tag) {
  const wanted = tag.toLowerCase();
  if (/^zh\b/.test(wanted)) {
    return /hant|-(tw|hk|mo)\b/.test(wanted) && !wanted.includes("hans") ? "zh-Hant" : "zh-Hans";
  }
  return /^en\b/.test(wanted) ? "en" : null;
}

/** The first of the language tags there are strings for. */
export function chooseLocale(tags) {
  for (const tag of tags) {
    const locale = tag ? match(tag) : null;
    if (locale) return locale;
  }
  return LOCALES[0];
}

/** Strings of a page by key, those of the widget by default; rejects if they cannot be had. */
export async function loadStrings(locale, page = "strings") {
  const response = await fetch(new URL(`./${page}.${locale}.json`, import.meta.url));
  if (!response.ok) throw new Error(`${page} for ${locale}: status ${response.status}`);
  return response.json();
}

/** Replaces each {name} by its value. */
export function fill(template, values = {}) {
  return template.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Words every node at or below `root` that names a string.

    data-say: its text; data-label: its accessible name; data-hint: its placeholder. Placeholders
    in the string come from the node's other data attributes, so that a later change of locale
    words the node again without anybody remembering it. A key without a string leaves the node
    as it is. */
export function say(root, strings) {
  const nodes = root.querySelectorAll("[data-say], [data-label], [data-hint]");
  for (const node of [root, ...nodes]) {
    const { say: text, label, hint } = node.dataset ?? {};
    if (text in strings) node.textContent = fill(strings[text], node.dataset);
    if (label in strings) node.setAttribute("aria-label", fill(strings[label], node.dataset));
    if (hint in strings) node.setAttribute("placeholder", strings[hint]);
  }
  return root;
}

/** An ISO date as people write it; dates are legal dates and know no time zone. */
export function longDate(iso, locale) {
  const day = new Date(`${iso}T00:00:00Z`);
  return new Intl.DateTimeFormat(locale, { dateStyle: "long", timeZone: "UTC" }).format(day);
}
