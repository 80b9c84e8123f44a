/* Answers that one person writes and another signs, before borrowers are given them. */

import {
  announce, badge, build, button, call, confirmed, dayTime, empty, failure, Failure, field, fillWith,
  force, note, paged, t,
} from "./knowledge-kit.js";
import { savingForm } from "./quality-labels.js";

const LOCALES = ["zh-Hans", "zh-Hant", "en"];
const MARKS = { draft: "plain", signed: "done", withdrawn: "failed" };

export async function showAnswers(place, { signal }) {
  const held = build("div", { class: "stacked" });
  place.append(build("p", { class: "small" }, t("answers.about")), held);
  const list = paged("/v1/feedback/answers", "answers", signal);
  const draw = async () => {
    const [found, { may }] = await Promise.all([list.load(), call("/v1/feedback/summary?days=1", { signal })]);
    const warnings = found.not_served.map(({ id, reason, others }) =>
      note(t(`answers.unserved.${reason}`, { id, others: others.join(", ") }), "stale"),
    );
    if (!found.answers.length) return [...warnings, empty(t("answers.none"))];
    const drawn = (answer) => card(answer, may, again, signal);
    return [...warnings, ...found.answers.map(drawn), ...list.more(found, t("answers.more"), drawn)];
  };
  const again = () => fillWith(held, draw, signal);
  await again();
}

function card(answer, may, again, signal) {
  const facts = build("dl", { class: "facts" });
  const say = (name, ...value) => facts.append(build("dt", {}, name), build("dd", { class: "said" }, ...value));
  for (const locale of LOCALES) {
    if (answer.wording[locale]) say(t("answer.wording", { language: t(locale) }), answer.wording[locale]);
  }
  say(t("answer.quote"), answer.quote, build("br"), build("code", {}, answer.source));
  if (answer.product) say(t("answer.product"), answer.product);
  const node = build(
    "article",
    { class: "card case", "data-answer": answer.id },
    build(
      "div",
      { class: "between" },
      build("p", { class: "asked said" }, answer.questions.join("\n")),
      badge(MARKS[answer.state], t(`answers.state.${answer.state}`)),
    ),
    facts,
    build("p", { class: "small" }, [
      answer.id,
      t("answers.by", { author: answer.author, at: dayTime(answer.made_at) }),
      ...(answer.state === "signed" ? [t("answers.signed", { signer: answer.signer, at: dayTime(answer.decided_at) })] : []),
      force(answer),
    ].join(" · ")),
  );
  const fault = build("div");
  const row = build("div", { class: "row" });
  const act = async (path, body, title, text, action) => {
    if (!(await confirmed(title, text, action))) return;
    fault.replaceChildren();
    try {
      await call(`/v1/feedback/answers/${answer.id}/${path}`, { method: "POST", body, signal });
      announce(t("saved"));
      await again();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      fault.replaceChildren(failure(error));
    }
  };
  if (answer.state === "draft" && may.includes("sign")) {
    if (answer.mine) node.append(build("p", { class: "small" }, t("answers.own")));
    else {
      const asks = t("answers.sign.text", { question: answer.questions[0] });
      row.append(
        button(t("answers.sign"), { class: "strong" }, () =>
          act("signature", { sha256: answer.sha256 }, t("answers.sign.title"), asks, t("answers.sign")),
        ),
      );
    }
  }
  const mayTakeBack = may.includes("sign") || (answer.mine && answer.state === "draft");
  if (answer.state !== "withdrawn" && mayTakeBack) {
    row.append(
      button(t("answers.withdraw"), { class: "plain" }, () =>
        act("withdrawal", {}, t("answers.withdraw.title"), t("answers.withdraw.text"), t("answers.withdraw")),
      ),
    );
  }
  if (row.childElementCount) node.append(row, fault);
  return node;
}

/** An answer to a question of the list, with what its reply rested on. */
export function answerForm(item, { signal, close, saved }) {
  const rested = item.citations[0] ?? { source: "", quote: "" };
  const area = (name, value, rows, required = true) => {
    const node = build("textarea", { name, rows, required });
    node.value = value;
    return node;
  };
  const line = (name, value, attributes = {}) => build("input", { type: "text", name, value, ...attributes });
  const questions = area("questions", item.question, "2");
  const wordings = Object.fromEntries(
    LOCALES.map((locale) => [locale, area(`wording.${locale}`, locale === item.locale ? rested.quote : "", "3", locale === item.locale)]),
  );
  const source = line("source", rested.source, { required: true });
  const quote = area("quote", rested.quote, "3");
  const product = line("product", "");
  const from = build("input", { type: "date", required: true, value: new Date().toLocaleDateString("sv") });
  const to = build("input", { type: "date" });
  const whole = { class: "field whole" };
  return savingForm(
    [
      field(t("answer.questions"), questions, whole),
      ...LOCALES.map((locale) => field(t("answer.wording", { language: t(locale) }), wordings[locale], whole)),
      field(t("answer.quote"), quote, whole),
      field(t("answer.source"), source, { class: "field wide" }),
      field(t("answer.product"), product, { class: "field wide" }),
      field(t("answer.from"), from),
      field(t("answer.to"), to),
    ],
    close,
    async () => {
      const wording = LOCALES.map((locale) => [locale, wordings[locale].value.trim()]);
      const body = {
        record_id: item.record_id,
        questions: questions.value.split("\n").map((text) => text.trim()).filter(Boolean),
        wording: Object.fromEntries(wording.filter(([, text]) => text)),
        source: source.value.trim(),
        quote: quote.value.trim(),
        product: product.value.trim(),
        effective_from: from.value,
        effective_to: to.value || null,
      };
      await call("/v1/feedback/answers", { method: "POST", body, signal });
      saved();
    },
  );
}
