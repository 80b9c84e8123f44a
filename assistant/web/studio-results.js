/* What came of a campaign: variants beside those who got nothing, with intervals. */

import {
  announce, badge, build, call, dayTime, empty, failure, Failure, field, fillWith, note, query, said, t, table,
} from "./knowledge-kit.js";
import { drawing } from "./widget-dom.js";
import { campaignChoice, grouped, likely, readCampaigns, share, titled } from "./studio-kit.js";

const MOST_BYTES = 16_000_000;
const EXAMPLE = "variant,n,converted\nA,9500,380\nB,9480,331\nholdout,1000,29";

export async function showResults(place, { values, signal }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  await fillWith(
    held,
    async () => {
      const { campaigns, may } = await readCampaigns(signal);
      if (!campaigns.length) return empty(t("campaigns.none"), build("p", { class: "small" }, t("campaigns.none.how")));
      const named = values.get("campaign");
      const chosen = campaigns.some((one) => one.id === named) ? named : likely(campaigns);
      const campaign = campaigns.find((one) => one.id === chosen);
      const results = await call(`/v1/campaigns/${encodeURIComponent(chosen)}/results`, { signal });
      const which = campaignChoice(campaigns, chosen);
      which.addEventListener("change", () => (location.hash = `#/results${query({ campaign: which.value })}`));
      const shown = build("div", { class: "stacked" }, ...drawn(results, campaign));
      return [
        build("div", { class: "filters" }, field(t("column.campaign"), which, { class: "field wide" })),
        shown,
        may.includes("results") ? bringIn(campaign, shown, signal) : note(t("results.read_only")),
      ];
    },
    signal,
  );
}

function drawn(results, campaign) {
  if (!results.variants.length) return [empty(t("results.none", { name: titled(campaign.title) }), build("p", { class: "small" }, t("results.none.how")))];
  const said = t("results.imported", { name: results.imported_by, at: dayTime(results.imported_at) });
  return [
    build(
      "section",
      { class: "card stacked" },
      build("h2", {}, t("results.heading", { name: titled(campaign.title) })),
      build("p", { class: "small" }, said),
      chart(results),
      figures(results),
      build("p", { class: "small" }, t("results.about")),
    ),
  ];
}

function variantName(one, results) {
  return one.variant === results.holdout ? t("results.holdout") : one.variant;
}

/** A strip a variant on one scale, the holdout's share drawn through all of them. The table beneath
    says the same in figures, so that the picture is hidden from a screen reader. */
function chart(results) {
  const known = results.variants.filter((one) => one.share);
  const most = Math.max(...known.map((one) => one.share.high), 0.001);
  const top = niceCeiling(most);
  const x = (value) => `${(2 + (value / top) * 94).toFixed(2)}%`;
  const held = known.find((one) => one.variant === results.holdout);
  const rows = build("div", { class: "strips", "aria-hidden": "true" });
  for (const one of known) {
    const svg = drawing("svg", { class: one === held ? "strip held" : "strip" });
    svg.append(drawing("line", { class: "axis", x1: x(0), x2: x(top), y1: 14, y2: 14 }));
    if (held) svg.append(drawing("line", { class: "goal", x1: x(held.share.value), x2: x(held.share.value), y1: 0, y2: 28 }));
    svg.append(
      drawing("line", { class: "interval", x1: x(one.share.low), x2: x(one.share.high), y1: 14, y2: 14 }),
      drawing("circle", { class: "value", cx: x(one.share.value), cy: 14, r: 5 }),
    );
    rows.append(build("span", { class: "name" }, variantName(one, results)), svg, build("span", { class: "figures" }, share(one.share.value)));
  }
  const axis = drawing("svg", { class: "scale" });
  for (const at of [0, top / 2, top]) {
    axis.append(drawing("text", { x: x(at), y: 12, "text-anchor": at === 0 ? "start" : at === top ? "end" : "middle" }, share(at)));
  }
  rows.append(build("span"), axis, build("span"));
  return rows;
}

function niceCeiling(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * size >= value);
  return Math.min(1, step * size);
}

function figures(results) {
  const columns = ["variant", "n", "converted", "share", "difference", "sure"].map((name) => t(`column.${name}`));
  const cell = (words) => build("span", { class: "figures" }, words);
  const interval = (found, shown) => cell(t("interval", { value: shown(found.value), low: shown(found.low), high: shown(found.high) }));
  const points = (value) => `${value > 0 ? "+" : ""}${(value * 100).toFixed(2)}`;
  const rows = results.variants.map((one) => ({
    cells: [
      variantName(one, results),
      cell(grouped(one.n)),
      cell(grouped(one.converted)),
      one.share ? interval(one.share, share) : "–",
      one.difference ? interval(one.difference, points) : "–",
      one.beyond_chance === null ? "–" : badge(one.beyond_chance ? "done" : "plain", t(one.beyond_chance ? "results.sure" : "results.chance")),
    ],
  }));
  return table(t("view.results"), columns, rows);
}

// Bringing in a file

function bringIn(campaign, shown, signal) {
  const file = build("input", { type: "file", id: "csv-file", accept: ".csv,text/csv", class: "unseen" });
  const text = build("textarea", { id: "csv", rows: "5", spellcheck: "false", placeholder: EXAMPLE });
  const told = build("div");
  const go = build("button", { type: "submit", class: "strong" }, t("results.import"));
  const form = build(
    "form",
    { class: "card stacked", id: "import" },
    build("h2", {}, t("results.bring")),
    build("p", { class: "small" }, t("results.columns"), " ", build("code", {}, "variant,n,converted"), t("list.or"), build("code", {}, "customer,variant,converted")),
    build("p", { class: "row" }, file, build("label", { for: "csv-file", class: "as-button plain" }, t("results.file"))),
    field(t("results.paste"), text, { class: "field whole" }),
    told,
    build("div", { class: "row" }, go, build("span", { class: "small" }, t("results.replaces"))),
  );

  function tell(words) {
    told.replaceChildren(build("p", { class: "note stale", role: "alert" }, words));
  }

  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    told.replaceChildren();
    if (chosen.size > MOST_BYTES) tell(t("results.too_large", { kb: MOST_BYTES / 1000 }));
    else text.value = await chosen.text();
    file.value = "";
    text.focus();
  });

  async function send() {
    if (!text.value.trim()) {
      tell(t("results.empty"));
      text.focus();
      return;
    }
    go.disabled = true;
    told.replaceChildren();
    try {
      const results = await call(`/v1/campaigns/${encodeURIComponent(campaign.id)}/results`, { method: "POST", body: text.value, type: "text/csv", signal });
      if (signal.aborted) return;
      shown.replaceChildren(...drawn(results, campaign));
      text.value = "";
      announce(t("results.done", { count: results.variants.length }));
      shown.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      if (error.code === "bad_results") tell(t("results.bad", { problem: said(error.message) }));
      else told.replaceChildren(failure(error, send));
    } finally {
      go.disabled = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return form;
}
