/* What a check found: the verdict, each broken rule with its source, and what was not checked. */

import { badge, build, button, locale, t } from "./knowledge-kit.js";
import { isWhole, RANK } from "./check-spans.js";

const SIGNS = { block: "failed", fix: "stale", warn: "plain" };
/** Places of one rule that are shown at once. */
const PLACES = 8;
const VERDICTS = { block: "refused", fix: "mend", warn: "look", pass: "good" };

/** Findings of one rule together, the worst first, else by place. */
export function byRule(findings) {
  const rules = new Map();
  for (const finding of findings) {
    const key = `${finding.rule} ${finding.severity} ${finding.channels ?? ""}`;
    rules.set(key, [...(rules.get(key) ?? []), finding]);
  }
  return [...rules.values()].sort((one, other) => RANK[other[0].severity] - RANK[one[0].severity]);
}

/** The verdict in one sentence, as it is shown and as it is read out. */
export function verdictWords(review) {
  const count = byRule(review.findings).length;
  const said = [t(`verdict.${review.verdict}`)];
  if (count) said.push(t("verdict.count", { count }));
  if (review.unchecked.length) said.push(t("verdict.unchecked", { count: review.unchecked.length }));
  return said;
}

export function verdict(review) {
  const [first, ...rest] = verdictWords(review);
  return build(
    "p",
    { class: `verdict ${VERDICTS[review.verdict]}`, id: "verdict" },
    build("strong", {}, first),
    ...rest.flatMap((text) => [" ", build("span", {}, text)]),
  );
}

/** jump: goes to a finding in the text. told: how many places of the rule are told, where they are
    not all; else 0. */
export function findingItem(group, text, jump, told) {
  const [first] = group;
  const place = (finding) => {
    if (isWhole(finding, text)) return build("span", { class: "small" }, t("finding.whole"));
    const label = t("finding.jump.to", { text: finding.text });
    return button(finding.text, { class: "plain place", "aria-label": label }, () => jump(finding));
  };
  const places = build("p", { class: "row" }, ...group.slice(0, PLACES).map(place));
  const rest = group.slice(PLACES);
  if (rest.length) {
    const more = button(t("more", { count: rest.length }), { class: "quiet" }, () => {
      const nodes = rest.map(place);
      more.replaceWith(...nodes);
      nodes[0].focus();
    });
    places.append(more);
  }
  const title = locale === "en" ? first.title_en : first.title;
  const advised = locale === "en" && first.suggestion_en;
  return build(
    "li",
    { class: `card finding ${first.severity}`, "data-rule": first.rule },
    build(
      "h3",
      {},
      badge(SIGNS[first.severity], t(`severity.${first.severity}`)),
      " ",
      build("span", { lang: locale === "en" ? "en" : "zh-Hans" }, title),
      " ",
      build("code", { class: "small" }, first.rule),
    ),
    places,
    told ? build("p", { class: "small" }, t("finding.cut", { count: told })) : "",
    first.channels.length ? build("p", { class: "small" }, t("finding.channels", { channels: named(first.channels) })) : "",
    build(
      "dl",
      { class: "because" },
      build("dt", {}, t("finding.suggestion")),
      build("dd", { lang: advised ? "en" : "zh-Hans", class: "suggestion" }, advised || first.suggestion),
      build("dt", {}, t("finding.source")),
      build("dd", {}, ...source(first)),
    ),
  );
}

function named(channels) {
  const words = new Intl.ListFormat(locale, { type: "conjunction" });
  return words.format(channels.map((channel) => t(`channel.${channel}`)));
}

function source({ source: basis, anchor }) {
  const named = build("span", { lang: "zh-Hans" }, [basis.regulation, basis.article].filter(Boolean).join(" "));
  const parts = [named, " "];
  if (basis.verified && !basis.article) parts.push(badge("plain", t("source.no_article")), " ");
  if (!basis.verified) parts.push(badge("stale", t("source.unverified")), " ");
  parts.push(build("span", { class: "small" }, t(`anchor.${anchor}`)));
  return parts;
}

/** titles: rule id -> its title, as far as known. context: the fields that the rules may need. */
export function uncheckedList(unchecked, titles, context, open) {
  const list = build("ul", { class: "unchecked" });
  for (const { rule, needs } of unchecked) {
    const item = build("li", {}, build("span", {}, titles.get(rule) ?? ""), " ", build("code", { class: "small" }, rule));
    const row = build("p", { class: "row small" }, t("unchecked.needs"));
    for (const key of needs) {
      row.append(
        context.has(key)
          ? button(context.label(key), { class: "quiet" }, () => context.show(key))
          : build("code", {}, key),
      );
    }
    item.append(row);
    list.append(item);
  }
  return build(
    "details",
    { class: "card details", open },
    build("summary", {}, t("unchecked", { count: unchecked.length })),
    build("p", { class: "small" }, t("unchecked.about")),
    list,
  );
}
