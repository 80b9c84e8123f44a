/* What the rules say of a draft, with the article each rests on and what to write instead. */

import { badge, build, button, locale, t } from "./knowledge-kit.js";
import { byRule } from "./check-findings.js";

const SIGNS = { block: "failed", fix: "stale", warn: "plain" };

export function findingTitle(finding) {
  return (locale === "en" && finding.title_en) || finding.title;
}

function article({ source }) {
  return source ? [source.regulation, source.article].filter(Boolean).join(" ") : t("finding.house");
}

function suggestion(finding) {
  return (locale === "en" && finding.suggestion_en) || finding.suggestion;
}

/** Findings in a line each, for a draft among others. */
export function briefly(findings) {
  const list = build("ul", { class: "briefly" });
  for (const [first] of byRule(findings)) {
    list.append(
      build(
        "li",
        {},
        badge(SIGNS[first.severity], t(`severity.${first.severity}`)),
        " ",
        build("span", { lang: "zh-Hans" }, findingTitle(first)),
        build("span", { class: "source small", lang: "zh-Hans" }, article(first)),
      ),
    );
  }
  return list;
}

/** All of them. jump: goes to the words of a finding; below: rule -> what stands beneath it. */
export function findingList(findings, { jump = null, below = () => [] } = {}) {
  const list = build("ol", { class: "findings" });
  for (const group of byRule(findings)) {
    const [first] = group;
    const places = group
      .filter(({ text }) => text && text.length < 40)
      .map((one) =>
        jump ? button(one.text, { class: "plain place", "aria-label": t("finding.jump", { text: one.text }) }, () => jump(one)) : build("q", {}, one.text),
      );
    const because = build("dl", { class: "because" });
    if (suggestion(first)) because.append(build("dt", {}, t("finding.suggestion")), build("dd", { lang: "zh-Hans" }, suggestion(first)));
    because.append(build("dt", {}, t("finding.source")), build("dd", { lang: "zh-Hans" }, article(first), ...unverified(first)));
    list.append(
      build(
        "li",
        { class: `card finding ${first.severity}`, "data-rule": first.rule },
        build(
          "h3",
          {},
          badge(SIGNS[first.severity], t(`severity.${first.severity}`)),
          " ",
          build("span", { lang: "zh-Hans" }, findingTitle(first)),
          " ",
          build("code", { class: "small" }, first.rule),
        ),
        ...(places.length ? [build("p", { class: "row" }, ...places)] : [build("p", { class: "small" }, t("finding.whole"))]),
        because,
        ...below(first),
      ),
    );
  }
  return list;
}

function unverified({ source }) {
  return source && !source.verified ? [" ", badge("stale", t("finding.unverified"))] : [];
}
