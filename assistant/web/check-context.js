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
  recipient: oneOf(["borrower", "guarantor", "third_party"], (who) => t(`recipient.${who}`)),
};

function oneOf(words, shown) {
  return {
    make: (key) => select([["", t("unsaid")], ...words.map((word) => [word, shown(word)])], "", { name: key }),
    read: (value) => value,
  };
}

/** What a rule pack calls the forms of what is said under its own keys. */
const FORMS = {
  bool: "yes", int: "count", decimal: "amount", date: "day", instant: "instant", text: "text", texts: "names",
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

/** The fields, after some that are not of the context. `said()` is what was filled in, `show(key)` goes to a field, `keep()` and `restore`
    carry them over a reload. */
export function contextFields(...others) {
  const controls = {};
  const reads = {};
  let own = [];
  const add = (key, kind) => {
    controls[key] = kind.make(key);
    reads[key] = kind.read;
  };
  for (const [key, kind] of Object.entries(ALL)) add(key, KINDS[kind]);
  const ownFields = build("div", { class: "filters" });
  const fields = (keys) =>
    Object.keys(keys).map((key) =>
      field(t(`context.${key}`), controls[key], { class: keys[key] === "text" ? "field whole" : "field" }),
    );
  const more = build(
    "details",
    {},
    build("summary", {}, t("context.more")),
    build("div", { class: "filters" }, ...fields(MORE)),
    ownFields,
  );
  const node = build(
    "section",
    { class: "card about", "aria-labelledby": "about-heading" },
    build("h2", { id: "about-heading" }, t("context")),
    build("p", { class: "small" }, t("context.about")),
    build("div", { class: "filters" }, ...others, ...fields(USUAL)),
    more,
  );
  return {
    node,
    has: (key) => key in controls,
    label: (key) => (own.includes(key) ? key : t(`context.${key}`)),
    /** Fields for what the rules of a pack ask for beside the usual: key -> form, or the words. */
    learn(keys) {
      for (const key of own) delete controls[key];
      own = Object.keys(keys).filter((key) => !(key in ALL) && key !== "complete");
      for (const key of own) {
        const form = keys[key];
        add(key, Array.isArray(form) ? oneOf(form, (word) => word) : KINDS[FORMS[form]]);
      }
      ownFields.replaceChildren(...own.map((key) => field(key, controls[key])));
    },
    said() {
      const given = Object.entries(controls).filter(([, control]) => control.value.trim() !== "");
      return Object.fromEntries(given.map(([key, control]) => [key, reads[key](control.value)]));
    },
    show(key) {
      if (!(key in USUAL)) more.open = true;
      controls[key].focus();
      controls[key].scrollIntoView({ block: "center" });
    },
    keep: () => Object.fromEntries(Object.entries(controls).map(([key, control]) => [key, control.value])),
    restore(values) {
      for (const [key, control] of Object.entries(controls)) control.value = values[key] ?? "";
      more.open = [...Object.keys(MORE), ...own].some((key) => controls[key].value);
    },
  };
}
