/* What a message has to carry beside its own words: put in by the server, shown where it stands. */

import { build, button, call, failure, Failure, locale, note, t } from "./knowledge-kit.js";
import { verdict } from "./check-findings.js";
import { inUnits, pieces } from "./check-spans.js";

/** body: what the check was asked with. take: puts a text in the place of the one that is written.
    say: tells it to whoever listens. */
export function completion(body, take, say) {
  const place = build("div", { class: "completion" });
  const fill = button(t("complete"), { id: "fill", class: "plain" }, async () => {
    if (!body.channel) {
      place.replaceChildren(note(t("complete.channel"), "plain"));
      return;
    }
    fill.disabled = true;
    const asked = { ...body, append: true, locale: languageOf(body.text) };
    try {
      const { completed } = await call("/v1/check", { method: "POST", body: asked });
      place.replaceChildren(...shown(completed, asked.locale, take));
      say([t("complete.done"), ...wordsOf(completed)].join(" "));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      place.replaceChildren(failure(error));
    } finally {
      fill.disabled = false;
    }
  });
  return build(
    "section",
    { class: "card", "aria-label": t("complete.heading") },
    build("p", { class: "row" }, fill, build("span", { class: "small" }, t("complete.about"))),
    place,
  );
}

/** What is put in is in the language of the text, not of who checks it. */
function languageOf(text) {
  if (!/\p{Script=Han}/u.test(text)) return "en";
  return locale === "zh-Hant" ? locale : "zh-Hans";
}

/** An element of the house's own has no other name than its id. */
function name(element) {
  const key = `element.${element}`;
  const worded = t(key);
  return worded === key ? element : worded;
}

/** What was put in, and what could not be, in words. */
function wordsOf({ added, lacking, too_long: tooLong, text, longest }) {
  const said = [
    added.length
      ? t("complete.added", { names: added.map(({ element }) => name(element)).join(t("complete.and")) })
      : t("complete.nothing"),
  ];
  if (lacking.length) said.push(t("complete.lacking", { names: lacking.map(name).join(t("complete.and")) }));
  if (tooLong) said.push(t("complete.too_long", { count: [...text].length, longest }));
  return said;
}

function shown(completed, language, take) {
  const { text, added, review } = completed;
  const marked = build("p", { class: "completed", lang: language });
  for (const piece of pieces(text, inUnits(added, text))) {
    const [element] = piece.covered;
    marked.append(
      element ? build("ins", { title: name(element.element) }, piece.text) : piece.text,
    );
  }
  const words = wordsOf(completed).map((said) => build("p", { class: "small" }, said));
  const use = button(t("complete.use"), { class: "strong" }, () => take(text));
  const row = added.length ? [build("div", { class: "row" }, use)] : [];
  const judged = verdict(review);
  judged.removeAttribute("id");
  return [marked, ...words, judged, ...row];
}
