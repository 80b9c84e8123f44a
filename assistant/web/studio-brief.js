/* A brief: for which campaign and whom, on which channels, in how many ideas. */

import { build, call, empty, failure, Failure, field, fillWith, locale, note, query, said, select, t } from "./knowledge-kit.js";
import { LOCALES } from "./widget-strings.js";
import { campaignChoice, channelName, likely, readCampaign, readCampaigns, titled } from "./studio-kit.js";
import { segmentEditor } from "./studio-segment.js";

const MOST_VARIANTS = 3;

export async function showBrief(place, { values, signal, mayWrite }) {
  if (!mayWrite) {
    place.append(note(t("brief.read_only")));
    return;
  }
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const { campaigns } = await readCampaigns(signal);
      const open = campaigns.filter((one) => one.state !== "ended");
      if (!open.length) return empty(t("brief.none"), build("p", { class: "small" }, t("campaigns.none.how")));
      const named = values.get("campaign");
      const chosen = open.some((one) => one.id === named) ? named : likely(open);
      const [campaign, listed] = await Promise.all([
        readCampaign(chosen, signal),
        call(`/v1/segments${query({ limit: 100 })}`, { signal }),
      ]);
      return form(open, campaign, listed, values, signal);
    },
    signal,
  );
}

function step(number, title, ...children) {
  return build("section", { class: "card stacked step" }, build("h2", {}, build("span", { class: "number", "aria-hidden": "true" }, String(number)), title), ...children);
}

function ticks(legend, options, checked) {
  const box = build("fieldset", { class: "ticks" }, build("legend", {}, legend));
  for (const [value, words] of options) {
    box.append(build("label", { class: "tick" }, build("input", { type: "checkbox", value, checked: checked.includes(value) }), words));
  }
  return { node: box, read: () => [...box.querySelectorAll("input:checked")].map((tick) => tick.value) };
}

function form(campaigns, campaign, listed, values, signal) {
  const which = campaignChoice(campaigns, campaign.id);
  const wish = build("input", { id: "wish", maxlength: "200", placeholder: titled(campaign.idea) });
  const channels = ticks(t("column.channels"), campaign.channels.map((one) => [one, channelName(one)]), campaign.channels.slice(0, 2));
  const ideas = ticks(t("ideas"), (campaign.ideas ?? []).map((one) => [one.id, titled(one.title)]), []);
  const variants = select(
    Array.from({ length: MOST_VARIANTS }, (_, at) => [String(at + 1), t("variants.of", { count: at + 1 })]),
    "3",
    { id: "variants" },
  );
  const language = select(LOCALES.map((name) => [name, t(name)]), locale === "en" ? "zh-Hans" : locale, { id: "language" });
  const segment = segmentEditor({
    campaign,
    listed,
    channel: () => channels.read()[0] ?? "",
    mayWrite: true,
    signal,
    chosen: values.get("segment") ?? campaign.segments[0]?.id ?? "",
  });
  const told = build("div");
  const go = build("button", { type: "submit", class: "strong" }, t("brief.go"));
  const whole = build(
    "form",
    { class: "stacked" },
    step(1, t("brief.campaign"), build("div", { class: "filters" }, field(t("column.campaign"), which, { class: "field wide" }), field(t("brief.wish"), wish, { class: "field wide" }))),
    step(2, t("brief.segment"), segment.node),
    step(
      3,
      t("brief.channels"),
      channels.node,
      build("div", { class: "filters" }, field(t("variants"), variants), field(t("brief.language"), language)),
      ideas.node,
      build("p", { class: "small" }, t("ideas.about", { count: MOST_VARIANTS })),
    ),
    build("p", { class: "note" }, t("brief.plain")),
    told,
    build("div", { class: "row" }, go),
  );

  function tell(words, focus) {
    told.replaceChildren(build("p", { class: "note stale", role: "alert" }, words));
    focus?.();
  }

  async function send() {
    told.replaceChildren();
    const chosen = segment.chosen();
    if (chosen === null) return tell(t("brief.unsaved"), segment.askToSave);
    if (!channels.read().length) return tell(t("brief.no_channel"), () => channels.node.querySelector("input").focus());
    if (ideas.read().length > MOST_VARIANTS) return tell(t("ideas.about", { count: MOST_VARIANTS }), () => ideas.node.querySelector("input").focus());
    go.disabled = true;
    try {
      const body = {
        campaign: campaign.id,
        segment: chosen,
        channels: channels.read(),
        variants: Number(variants.value),
        ideas: ideas.read(),
        wish: wish.value.trim(),
        locale: language.value,
      };
      const job = await call("/v1/offers", { method: "POST", body, signal });
      if (signal.aborted) return null;
      location.hash = `#/drafts${query({ campaign: campaign.id, job: job.id })}`;
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (!(error instanceof Failure)) throw error;
      const problems = error.fields.map((one) => said(one.problem)).join(" ");
      if (problems) tell(problems);
      else told.replaceChildren(failure(error, send));
    } finally {
      go.disabled = false;
    }
    return null;
  }

  which.addEventListener("change", () => (location.hash = `#/brief${query({ campaign: which.value })}`));
  channels.node.addEventListener("change", () => segment.count());
  whole.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return whole;
}
