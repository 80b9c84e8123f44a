/* What may be said about a text beside its words: the keys of docs/rules.md. */

import { build, field, select, t } from "./knowledge-kit.js";

const KINDS = {
  yes: {
    make: (key) => select([["", t("unsaid")], ["yes", t("yes")], ["no", t("no")]], "", { name: key }),
    read: (value) => value === "yes",
  },
  count: {
    make: (key) => build("input", { type: "number", min: "0", step: "1", inputmode: "numeric", name: key }),
    read: Number,
  },
  amount: {
    make: (key) => build("input", { type: "number", min: "0", step: "0.01", inputmode: "decimal", name: key }),
    read: Number,
  },
  day: { make: (key) => build("input", { type: "date", name: key }), read: (value) => value },
  instant: {
    make: (key) => build("input", { type: "datetime-local", name: key }),
    read: (value) => new Date(value).toISOString(),
  },
  text: { make: (key) => build("input", { name: key, maxlength: "2000" }), read: (value) => value },
  names: {
    make: (key) => build("input", { name: key, maxlength: "2000", placeholder: "example.com" }),
    read: (value) => value.split(/[\s,;，、；]+/).filter(Boolean),
  },
  recipient: {
    make: (key) =>
      select(
        [["", t("unsaid")], ...["borrower", "guarantor", "third_party"].map((who) => [who, t(`recipient.${who}`)])],
        "",
        { name: key },
      ),
    read: (value) => value,
  },
};

/** Key -> kind of its field; the first ones are always shown. `complete` stands by the text. */
const USUAL = {
  question: "text",
  at: "instant",
  consent: "yes",
  identity_verified: "yes",
  recipient: "recipient",
  amount_due_cny: "amount",
};
const MORE = {
  opted_out: "yes",
  sent_this_week: "count",
  calls_this_week: "count",
  calls_today: "count",
  "customer.student": "yes",
  "customer.age": "count",
  "customer.hardship": "yes",
  "customer.crisis": "yes",
  approved_plan: "yes",
  "campaign.ends_on": "day",
  "campaign.stock": "count",
  "campaign.max_prize_cny": "amount",
  link_domains_allowed: "names",
  own_platform: "yes",
  partners: "yes",
  other_fees: "yes",
  personalised: "yes",
  label_shown: "yes",
  made_by_ai: "yes",
};
const ALL = { ...USUAL, ...MORE };

/** The fields. `said()` is what was filled in, `show(key)` goes to a field, `keep()` and `restore`
    carry them over a reload. */
export function contextFields() {
  const controls = {};
  for (const [key, kind] of Object.entries(ALL)) controls[key] = KINDS[kind].make(key);
  const fields = (keys) =>
    Object.keys(keys).map((key) =>
      field(t(`context.${key}`), controls[key], { class: keys[key] === "text" ? "field whole" : "field" }),
    );
  const more = build(
    "details",
    {},
    build("summary", {}, t("context.more")),
    build("div", { class: "filters" }, ...fields(MORE)),
  );
  const node = build(
    "section",
    { class: "card about", "aria-labelledby": "about-heading" },
    build("h2", { id: "about-heading" }, t("context")),
    build("p", { class: "small" }, t("context.about")),
    build("div", { class: "filters" }, ...fields(USUAL)),
    more,
  );
  return {
    node,
    has: (key) => key in controls,
    said() {
      const given = Object.entries(controls).filter(([, control]) => control.value.trim() !== "");
      return Object.fromEntries(given.map(([key, control]) => [key, KINDS[ALL[key]].read(control.value)]));
    },
    show(key) {
      if (key in MORE) more.open = true;
      controls[key].focus();
      controls[key].scrollIntoView({ block: "center" });
    },
    keep: () => Object.fromEntries(Object.entries(controls).map(([key, control]) => [key, control.value])),
    restore(values) {
      for (const [key, control] of Object.entries(controls)) control.value = values[key] ?? "";
      more.open = Object.keys(MORE).some((key) => controls[key].value);
    },
  };
}
