/* What the views of the studio share: titles, amounts, states, conditions in words. */

import { badge, build, call, locale, query, says, select, t } from "./knowledge-kit.js";

export const CHANNELS = ["sms", "push", "in_app", "wechat", "email", "call_script", "poster"];

/** Badge of a state: a sign and a word, never the colour alone. */
const SIGNS = {
  draft: "stale",
  checked: "plain",
  submitted: "queued",
  approved: "done",
  exported: "done",
  rejected: "failed",
  void: "past",
  expired: "past",
};
const VERDICT_SIGNS = { pass: "done", warn: "plain", fix: "stale", block: "failed" };

/** A title in the language of the page. */
export function titled(words) {
  return words[locale] ?? words["zh-Hans"] ?? "";
}

/** A text of digits with its thousands apart. */
export function grouped(text) {
  const [whole, rest] = String(text).split(".");
  const shown = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest && /[1-9]/.test(rest) ? `${shown}.${rest}` : shown;
}

/** As `grouped`, with both decimals. */
export function toTheFen(text) {
  const [whole, rest = ""] = String(text).split(".");
  return `${grouped(whole)}.${rest.padEnd(2, "0")}`;
}

export function money(text) {
  return t("money", { amount: grouped(text) });
}

/** A share as a text of digits, such as 0.025, in per cent, without rounding. */
export function percent(text) {
  return `${Number((Number(text) * 100).toPrecision(12))}%`;
}

/** A share that was counted, with as many digits as it bears. */
export function share(value) {
  return `${(value * 100).toFixed(2)}%`;
}

export function channelName(channel) {
  return says(`channel.${channel}`) ? t(`channel.${channel}`) : channel;
}

export function draftState(draft) {
  return badge(SIGNS[draft.state], t(`draft.${draft.state}`), { "data-state": draft.state });
}

export function verdictBadge(verdict) {
  return badge(VERDICT_SIGNS[verdict], t(`verdict.${verdict}`));
}

/** How a draft stands; that it was checked says already that it passes. */
export function standing(draft) {
  return draft.state === "checked" && draft.verdict === "pass" ? [draftState(draft)] : [draftState(draft), verdictBadge(draft.verdict)];
}

export function campaignState(campaign) {
  const sign = { coming: "future", running: "current", ended: "past" }[campaign.state];
  return badge(sign, t(`campaign.${campaign.state}`));
}

/** What the value of a condition, or of an attribute, is called. */
export function valueWords(value, kind = "") {
  if (Array.isArray(value)) return value.map((one) => valueWords(one, kind)).join(t("list.and"));
  if (typeof value === "boolean" || value === "true" || value === "false") return t(`flag.${value}`);
  if (says(`coupon.${value}`)) return t(`coupon.${value}`);
  if (kind === "share") return percent(value);
  return kind === "money_cny" ? money(value) : String(value);
}

/** attributes: name -> as the server lists them. */
export function conditionWords({ attribute, op, value }, attributes) {
  const known = attributes.get(attribute);
  const name = known ? titled(known.title) : attribute;
  return t(`op.${op}.said`, { attribute: name, value: valueWords(value, known?.kind) });
}

export function conditionList(conditions, attributes) {
  if (!conditions.length) return build("p", { class: "small" }, t("conditions.none"));
  const list = build("ul", { class: "plain-list" });
  for (const one of conditions) list.append(build("li", {}, conditionWords(one, attributes)));
  return list;
}

export function attributeNames(names, attributes) {
  return names.map((name) => (attributes.has(name) ? titled(attributes.get(name).title) : name)).join(t("list.and"));
}

export function byName(attributes) {
  return new Map(attributes.map((one) => [one.id, one]));
}

export async function readCampaigns(signal) {
  return call(`/v1/campaigns${query({ limit: 100 })}`, { signal });
}

export function readCampaign(id, signal) {
  return call(`/v1/campaigns/${encodeURIComponent(id)}`, { signal });
}

/** The campaign that is worked on when none is named: one that runs, else one to come. */
export function likely(campaigns) {
  for (const state of ["running", "coming"]) {
    const found = campaigns.find((campaign) => campaign.state === state);
    if (found) return found.id;
  }
  return campaigns[0]?.id ?? "";
}

export function campaignChoice(campaigns, value, first = null) {
  const options = campaigns.map((one) => [one.id, `${titled(one.title)} · ${t(`campaign.${one.state}`)}`]);
  return select(first === null ? options : [["", first], ...options], value, { id: "campaign" });
}

/** Facts in pairs of name and value; a pair without a value is left out. */
export function facts(pairs) {
  const list = build("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value === null || value === "") continue;
    list.append(build("div", {}, build("dt", {}, name), build("dd", {}, ...[value].flat())));
  }
  return list;
}

export function meter(share, label) {
  const bar = build("span", { class: "meter total", role: "img", "aria-label": label }, build("span", { class: "fill" }));
  bar.firstChild.style.setProperty("--share", Math.max(0, Math.min(1, share)));
  return bar;
}

export function link(href, text, attributes = {}) {
  return build("a", { href, ...attributes }, text);
}
