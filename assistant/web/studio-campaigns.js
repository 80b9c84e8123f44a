/* Campaigns: which runs when, and of one what it offers, to whom, and what is left. */

import { badge, build, call, day, dayTime, empty, fillWith, linkTo, note, query, says, t, table } from "./knowledge-kit.js";
import { calendar } from "./studio-calendar.js";
import {
  byName, campaignState, channelName, conditionList, facts, grouped, link, meter, money, percent, readCampaign,
  readCampaigns, titled, toTheFen,
} from "./studio-kit.js";

export async function showCampaigns(place, { signal, mayWrite }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const { campaigns, today } = await readCampaigns(signal);
      if (!campaigns.length) return empty(t("campaigns.none"), build("p", { class: "small" }, t("campaigns.none.how")));
      return [
        build("section", { class: "card", "aria-label": t("calendar") }, build("h2", {}, t("calendar")), calendar(campaigns, today)),
        list(campaigns, mayWrite),
      ];
    },
    signal,
  );
}

function list(campaigns, mayWrite) {
  const columns = ["campaign", "channels", "budget", "drafts", "contacted", "actions"].map((name) => t(`column.${name}`));
  const rows = campaigns.map((one) => {
    const actions = [];
    if (mayWrite && one.state !== "ended") actions.push(link(briefLink(one.id), t("write")), " ");
    actions.push(link(`#/results${query({ campaign: one.id })}`, t("view.results")));
    return {
      cells: [
        build(
          "div",
          {},
          link(linkTo("campaign", one.id), titled(one.title), { class: "title" }),
          " ",
          campaignState(one),
          build("span", { class: "source small" }, titled(one.idea)),
        ),
        one.channels.map(channelName).join(t("list.and")),
        build("span", { class: "figures" }, money(one.budget_cny)),
        draftCounts(one),
        build("span", { class: "figures" }, grouped(one.contacted)),
        build("span", { class: "row" }, ...actions),
      ],
    };
  });
  return table(t("view.campaigns"), columns, rows);
}

function briefLink(campaign) {
  return `#/brief${query({ campaign })}`;
}

function draftCounts(campaign) {
  const counted = Object.entries(campaign.drafts).filter(([, count]) => count);
  if (!counted.length) return "–";
  const parts = counted.map(([state, count]) =>
    link(`#/drafts${query({ campaign: campaign.id, state })}`, t("counted", { name: t(`draft.${state}`), count })),
  );
  return build("span", { class: "row" }, ...parts);
}

// One campaign

export async function showCampaign(place, { parts, signal, heading, mayWrite }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const [campaign, { attributes }] = await Promise.all([
        readCampaign(parts[0] ?? "", signal),
        call("/v1/segments", { signal }),
      ]);
      heading.textContent = titled(campaign.title);
      const known = byName(attributes);
      return [
        link("#/campaigns", t("campaigns.back")),
        about(campaign, mayWrite),
        build("div", { class: "halves" }, coupons(campaign), build("div", { class: "stacked" }, ...draws(campaign), who(campaign, known), dates(campaign))),
        runs(campaign),
      ];
    },
    signal,
  );
}

function about(campaign, mayWrite) {
  const actions = build("div", { class: "row" });
  if (mayWrite && campaign.state !== "ended") actions.append(link(briefLink(campaign.id), t("write"), { class: "strong" }));
  actions.append(
    link(`#/drafts${query({ campaign: campaign.id })}`, t("view.drafts"), { class: "as-button plain" }),
    link(`#/results${query({ campaign: campaign.id })}`, t("view.results"), { class: "as-button plain" }),
  );
  const left = t("left.of", { left: money(campaign.budget_left_cny), all: money(campaign.budget_cny) });
  const budget = [build("span", { class: "figures" }, left), meter(Number(campaign.budget_left_cny) / Number(campaign.budget_cny), left)];
  return build(
    "section",
    { class: "card stacked" },
    build("div", { class: "between" }, build("p", {}, campaignState(campaign), " ", titled(campaign.idea)), actions),
    facts([
      [t("campaign.days"), t("days", { from: day(campaign.starts_on), to: day(campaign.ends_on) })],
      [t("column.budget"), budget],
      [t("column.channels"), campaign.channels.map(channelName).join(t("list.and"))],
      [t("campaign.holdout"), percent(campaign.holdout)],
      [t("column.contacted"), grouped(campaign.contacted)],
      [t("column.drafts"), draftCounts(campaign)],
      [t("campaign.terms"), build("span", { class: "small" }, campaign.terms_link)],
      [t("campaign.version"), build("code", { title: campaign.version }, campaign.version.slice(0, 12))],
    ]),
  );
}

function coupons(campaign) {
  const cards = campaign.coupons.map((one) => couponCard(one));
  const prizes = campaign.prize_coupons.map((one) => couponCard(one));
  return build(
    "section",
    { class: "stacked" },
    build("h2", {}, t("coupons")),
    ...(cards.length ? cards : [note(t("coupons.none"))]),
    ...(prizes.length ? [build("h3", {}, t("coupons.prizes")), ...prizes] : []),
  );
}

function couponCard(coupon) {
  const card = build(
    "article",
    { class: "card stacked coupon", "data-coupon": coupon.id },
    build("div", { class: "between" }, build("h3", {}, titled(coupon.title)), badge("plain", t(`coupon.${coupon.kind}`))),
  );
  if (coupon.saving_cny !== null) {
    card.append(build("p", {}, t("coupon.saves"), " ", build("strong", { class: "figures" }, money(coupon.saving_cny))));
  } else card.append(build("p", { class: "small" }, titled(coupon.why)));
  card.append(
    facts([
      [t("coupon.valid"), t("days", { from: day(coupon.valid_from), to: day(coupon.valid_to) })],
      [t("coupon.stock"), stock(coupon)],
    ]),
    ...(coupon.saving_cny === null ? [] : [calculation(coupon.calculation)]),
    build("blockquote", { class: "quote small", lang: "zh-Hans" }, coupon.quote, " ", build("code", {}, coupon.source)),
  );
  return card;
}

function stock({ stock: all, left, given }) {
  if (all === null) return t("stock.unbound", { given: grouped(given) });
  const words = t("left.of", { left: grouped(left), all: grouped(all) });
  return [build("span", { class: "figures" }, words), meter(left / Math.max(1, all), words)];
}

/** How a saving was worked out: the loan, each instalment, and the formulas. */
export function calculation(found) {
  const { loan } = found.inputs;
  const told = t("calculation.loan", {
    principal: money(loan.principal_cny),
    rate: percent(loan.annual_rate),
    terms: loan.terms,
    method: says(`method.${loan.method}`) ? t(`method.${loan.method}`) : loan.method,
  });
  // A lower rate saves in every instalment alike, and is not told of each.
  const amounts = ["principal", "interest", "saved", "total"].filter(
    (name) => name !== "saved" || found.instalments.some((one) => Number(one.saved_cny ?? 0)),
  );
  const columns = ["term", "due", ...amounts].map((name) => t(`column.${name}`));
  const rows = found.instalments.map((one) => ({
    cells: [String(one.term), one.due, ...amounts.map((name) => build("span", { class: "figures" }, toTheFen(one[`${name}_cny`])))],
  }));
  const said = [...(found.formula ?? []), ...(found.conventions ?? []), ...(found.sources ?? []).map(({ title }) => title)];
  return build(
    "details",
    { class: "calculation" },
    build("summary", {}, t("calculation")),
    build("p", {}, told),
    facts([
      [t("calculation.before"), money(found.cost_before_cny)],
      [t("calculation.after"), money(found.cost_cny)],
      [t("calculation.saved"), money(found.saved_cny)],
    ]),
    build("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": t("calculation.terms") }, table(t("calculation.terms"), columns, rows)),
    build("ul", { class: "plain-list small" }, ...said.map((line) => build("li", {}, line))),
  );
}

function draws(campaign) {
  const titles = new Map([...campaign.coupons, ...campaign.prize_coupons].map((one) => [one.id, titled(one.title)]));
  return campaign.draws.map((draw) => {
    const columns = ["prize", "odds", "stock"].map((name) => t(`column.${name}`));
    const rows = draw.prizes.map((prize) => ({
      cells: [
        titles.get(prize.coupon) ?? prize.coupon,
        build("span", { class: "figures" }, percent(prize.odds)),
        build("span", { class: "figures" }, t("left.of", { left: grouped(prize.left), all: grouped(prize.stock) })),
      ],
    }));
    rows.push({ cells: [t("draw.nothing"), build("span", { class: "figures" }, percent(draw.nothing)), "–"] });
    return build(
      "section",
      { class: "card stacked" },
      build("h2", {}, titled(draw.title)),
      build("p", { class: "small" }, t("draw.about")),
      table(titled(draw.title), columns, rows),
    );
  });
}

function who(campaign, known) {
  return build(
    "section",
    { class: "card stacked" },
    build("h2", {}, t("eligibility")),
    conditionList(campaign.eligibility, known),
    build("h2", {}, t("segments")),
    ...(campaign.segments.length ? [] : [note(t("segments.none"))]),
    ...campaign.segments.flatMap((segment) => [
      build("h3", {}, titled(segment.title)),
      conditionList(segment.conditions, known),
    ]),
  );
}

function dates(campaign) {
  const titles = new Map([...campaign.coupons, ...campaign.prize_coupons].map((one) => [one.id, titled(one.title)]));
  const list = build("ul", { class: "plain-list" });
  for (const one of campaign.calendar) {
    const name = titles.get(one.id) ?? (one.what.startsWith("campaign") ? titled(campaign.title) : one.id);
    list.append(build("li", {}, build("span", { class: "dates" }, day(one.on)), " ", t(`calendar.${one.what}`, { name })));
  }
  return build("details", { class: "card details" }, build("summary", {}, t("calendar.days")), list);
}

function runs(campaign) {
  const section = build("section", { class: "stacked" }, build("h2", {}, t("runs")));
  if (!campaign.runs.length) {
    section.append(empty(t("runs.none"), build("code", {}, `zhunxin campaign run ${campaign.id} --customers customers.csv --out messages.jsonl`)));
    return section;
  }
  const columns = ["run", "started", "by", "rows", "outcomes"].map((name) => t(`column.${name}`));
  const rows = campaign.runs.map((run) => ({
    cells: [
      build("div", {}, build("code", {}, run.id.slice(0, 12)), " ", badge(run.state === "done" ? "done" : "running", t(`run.${run.state}`))),
      build("span", { class: "when" }, dayTime(run.started_at)),
      run.by || "–",
      build("span", { class: "figures" }, grouped(run.rows_in)),
      outcomes(run.counts),
    ],
  }));
  section.append(table(t("runs"), columns, rows));
  return section;
}

/** Outcome -> customers; groups of outcomes stand flat beside each other. */
function outcomes(counts) {
  const flat = Object.entries(counts).flatMap(([name, count]) =>
    typeof count === "number" ? [[name, count]] : Object.entries(count ?? {}).filter(([, value]) => typeof value === "number"),
  );
  const told = flat
    .filter(([, count]) => count)
    .map(([name, count]) => t("counted", { name: outcomeName(name), count: grouped(count) }));
  return told.length ? told.join(t("list.and")) : "–";
}

function outcomeName(name) {
  if (says(`outcome.${name}`)) return t(`outcome.${name}`);
  if (says(`reason.${name}`)) return t(`reason.${name}`);
  return says(`channel.${name}`) ? t(`channel.${name}`) : name;
}
