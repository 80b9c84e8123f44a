/* Drafts side by side, as they will look, the one that is not personalised among them; and how far
   drafting is. */

import {
  announce, badge, build, button, call, empty, failure, Failure, field, fillWith, linkTo, note, query, select, t,
} from "./knowledge-kit.js";
import { briefly } from "./studio-findings.js";
import { phone, sender } from "./studio-phone.js";
import {
  campaignChoice, channelName, CHANNELS, likely, link, readCampaign, readCampaigns, standing, titled,
} from "./studio-kit.js";

const PAGE = 60;
const POLL_MS = 600;
/** What a choice of state stands for; a state alone stands for itself. */
const STATES = {
  open: ["draft", "checked", "submitted", "approved", "rejected", "exported"],
  submitted: ["submitted"],
  draft: ["draft"],
  checked: ["checked"],
  approved: ["approved"],
  exported: ["exported"],
  rejected: ["rejected"],
  void: ["void"],
  expired: ["expired"],
};
const ENDED = ["done", "failed", "lost"];

export async function showDrafts(place, { values, signal, mayWrite, me }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const [{ campaigns }, listed, from] = await Promise.all([
        readCampaigns(signal),
        call(`/v1/segments${query({ limit: 100 })}`, { signal }),
        sender(),
      ]);
      if (!campaigns.length) return empty(t("campaigns.none"), build("p", { class: "small" }, t("campaigns.none.how")));
      const approves = me.roles.includes("compliance");
      const known = new Map(listed.segments.map((one) => [one.id, titled(one.title)]));
      return board({ campaigns, known, from, values, signal, mayWrite, approves });
    },
    signal,
  );
}

function board({ campaigns, known, from, values, signal, mayWrite, approves }) {
  const job = values.get("job") ?? "";
  const wantsAll = approves && !values.has("campaign");
  const named = values.get("campaign") ?? (wantsAll ? "" : likely(campaigns));
  const state = STATES[values.get("state")] ? values.get("state") : approves && !values.size ? "submitted" : "open";
  const channel = CHANNELS.includes(values.get("channel")) ? values.get("channel") : "";
  const which = campaignChoice(campaigns, named, t("drafts.all_campaigns"));
  const states = select(Object.keys(STATES).map((one) => [one, t(`drafts.${one}`)]), state, { id: "state" });
  const channels = select([["", t("drafts.all_channels")], ...CHANNELS.map((one) => [one, channelName(one)])], channel, { id: "channel" });
  const progress = build("div");
  const shown = build("div", { class: "stacked", id: "board" });

  function again() {
    location.hash = `#/drafts${query({ campaign: which.value, state: states.value, channel: channels.value })}`;
  }
  for (const control of [which, states, channels]) control.addEventListener("change", again);

  /** Titles of a campaign's segments and ideas, asked for once. */
  const read = new Map();
  async function titles(campaign) {
    if (!read.has(campaign)) {
      const found = await readCampaign(campaign, signal).catch((error) => {
        if (error.name === "AbortError") throw error;
        return null;
      });
      read.set(campaign, {
        segments: new Map((found?.segments ?? []).map((one) => [one.id, titled(one.title)])),
        ideas: new Map((found?.ideas ?? []).map((one) => [one.id, titled(one.title)])),
      });
    }
    return read.get(campaign);
  }

  async function load(only = null) {
    const drafts = [];
    let next = 0;
    let total = 0;
    do {
      const asked = new URLSearchParams(STATES[state].map((one) => ["state", one]));
      if (which.value) asked.set("campaign", which.value);
      asked.set("limit", PAGE);
      asked.set("offset", next);
      const page = await call(`/v1/drafts?${asked}`, { signal });
      drafts.push(...page.drafts.filter((one) => !only || only.includes(one.id)));
      next = page.next;
      total = page.total;
    } while (only && next !== null && drafts.length < only.length);
    const fits = drafts.filter((one) => !channel || one.channel === channel);
    if (!fits.length) return nothing();
    for (const one of fits) await titles(one.campaign);
    const nodes = groups(fits);
    if (next !== null && !only) nodes.push(build("p", { class: "small" }, t("drafts.more", { shown: drafts.length, total })));
    return nodes;
  }

  function nothing() {
    if (state === "submitted") return empty(t("drafts.none.submitted"));
    const how = mayWrite ? link(`#/brief${query({ campaign: which.value })}`, t("write"), { class: "strong" }) : build("p", { class: "small" }, t("drafts.none.how"));
    return empty(t("drafts.none"), how);
  }

  /** By campaign and channel; within one, the personalised ones by segment, and beside them the one
      that is the same for everybody. */
  function groups(drafts) {
    const found = new Map();
    const order = (one) => `${campaigns.findIndex((each) => each.id === one.campaign)} ${CHANNELS.indexOf(one.channel)}`;
    for (const one of [...drafts].sort((a, b) => order(a).localeCompare(order(b), "en", { numeric: true }))) {
      const key = order(one);
      found.set(key, [...(found.get(key) ?? []), one]);
    }
    return [...found.values()].map((some) => {
      const [first] = some;
      const sorted = some.sort(
        (a, b) => Number(b.personalised) - Number(a.personalised) || a.segment.localeCompare(b.segment) || a.variant - b.variant || b.made_at.localeCompare(a.made_at),
      );
      const campaign = campaigns.find((one) => one.id === first.campaign);
      const heading = [channelName(first.channel)];
      if (!which.value && campaign) heading.unshift(titled(campaign.title));
      return build(
        "section",
        { class: "stacked", "data-channel": first.channel },
        build("h2", {}, t("drafts.group", { name: heading.join(" · "), count: some.length })),
        build("ul", { class: "side-by-side" }, ...sorted.map(card)),
      );
    });
  }

  function card(draft) {
    const { segments, ideas } = read.get(draft.campaign);
    const segment = draft.personalised ? segments.get(draft.segment) ?? known.get(draft.segment) ?? draft.segment : t("segment.plain");
    const idea = ideas.get(draft.idea) ?? draft.idea;
    const name = t("draft.variant", { number: draft.variant, idea });
    return build(
      "li",
      { class: draft.personalised ? "card draft" : "card draft plain-one", "data-draft": draft.id },
      build("h3", {}, link(linkTo("draft", draft.id), name, { class: "title" })),
      build("p", { class: "small" }, segment, " · ", t(`made.${draft.made_by}`)),
      build("p", { class: "row" }, ...standing(draft), draft.personalised ? "" : badge("moved", t("draft.plain"))),
      phone(draft, from),
      draft.findings.length ? briefly(draft.findings) : "",
      ...(draft.lapsed ? [note(t(`lapsed.${draft.lapsed}`), "stale")] : []),
    );
  }

  /** Draws how far a job is, and what it has made so far, until it has ended. */
  async function follow() {
    let made = -1;
    let drawn = "";
    for (;;) {
      const found = await call(`/v1/offers/jobs/${encodeURIComponent(job)}`, { signal });
      if (signal.aborted) return;
      // Drawn anew it would be read out anew.
      if (drawn !== JSON.stringify(found)) progress.replaceChildren(...told(found));
      drawn = JSON.stringify(found);
      if (found.drafts.length !== made) {
        made = found.drafts.length;
        if (made) shown.replaceChildren(...[await load(found.drafts)].flat());
      }
      if (ENDED.includes(found.state)) {
        if (!made) shown.replaceChildren(nothing());
        announce(t(`job.${found.state}`, { count: made }));
        return;
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        signal.addEventListener("abort", () => (clearTimeout(timer), resolve()));
      });
      if (signal.aborted) return;
    }
  }

  function told(found) {
    const nodes = [];
    if (!ENDED.includes(found.state)) {
      const bar = build("progress", { max: found.total, value: found.done, "aria-label": t("job.progress") });
      nodes.push(build("p", { class: "row", role: "status" }, bar, build("span", {}, t(`job.${found.state}`, { done: found.done, total: found.total }))));
    } else if (found.state === "done") {
      nodes.push(note(t("job.done", { count: found.drafts.length }), "good"));
    } else {
      const why = found.error ? t(`job.error.${found.error}`) : "";
      nodes.push(build("div", { class: "failure", role: "alert" }, build("p", {}, t(`job.${found.state}`)), why ? build("p", {}, why) : "", link(`#/brief${query({ campaign: found.campaign, segment: found.segment })}`, t("job.again"))));
    }
    if (found.refusals.length) {
      const reasons = found.refusals.map((one) => [one.title || one.reason, one.rule].filter(Boolean).join(" "));
      nodes.push(note(t("job.refused", { reasons: reasons.join(t("list.and")) }), "stale"));
    }
    if (ENDED.includes(found.state)) nodes.push(build("p", {}, link(`#/drafts${query({ campaign: found.campaign })}`, t("job.all"))));
    return nodes;
  }

  async function begin() {
    if (!job) return fillWith(shown, () => load(), signal);
    try {
      await follow();
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return null;
      if (!(error instanceof Failure)) throw error;
      progress.replaceChildren(failure(error, begin));
    }
    return null;
  }

  begin();
  return [
    build(
      "form",
      { class: "filters" },
      field(t("column.campaign"), which, { class: "field wide" }),
      field(t("column.state"), states),
      field(t("column.channel"), channels),
      button(t("drafts.reload"), { class: "plain" }, () => begin()),
    ),
    progress,
    shown,
  ];
}
