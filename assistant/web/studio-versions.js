/* Two versions of a draft beside each other: what was taken out, and what was put in. */

import { announce, build, dayTime, field, select, t } from "./knowledge-kit.js";
import { phone } from "./studio-phone.js";
import { verdictBadge } from "./studio-kit.js";

const PARTS = /\{[a-z_]+\}|[\s\S]/gu;
/** Longest texts that are compared part by part. */
const MOST_PARTS = 2000;

/** Runs of two texts: ["same" | "gone" | "new", words], by their longest common sequence of signs, a
    slot taken as one. */
export function differences(before, after) {
  const [a, b] = [before, after].map((text) => text.match(PARTS) ?? []);
  if (Math.max(a.length, b.length) > MOST_PARTS) return [["gone", before], ["new", after]];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const runs = [];
  const put = (kind, sign) => {
    if (runs.at(-1)?.[0] === kind) runs.at(-1)[1] += sign;
    else runs.push([kind, sign]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put("same", a[i]);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) {
      put("gone", a[i]);
      i += 1;
    } else {
      put("new", b[j]);
      j += 1;
    }
  }
  return runs;
}

/** One side: what it has in common with the other, and what only it has. */
function side(runs, only) {
  const tag = only === "gone" ? "del" : "ins";
  return runs.filter(([kind]) => kind === "same" || kind === only).map(([kind, text]) => (kind === "same" ? text : build(tag, {}, text)));
}

export function comparison(draft, from) {
  const { versions } = draft;
  const options = versions.map((one) => [String(one.number), t("version.by", { number: one.number, name: one.by, at: dayTime(one.at) })]);
  const before = select(options, String(versions.at(-2).number), { id: "before" });
  const after = select(options, String(versions.at(-1).number), { id: "after" });
  const shown = build("div", { class: "pair card" });

  function column(version, runs, titles, only) {
    return build(
      "div",
      { class: "side stacked" },
      build("div", { class: "between" }, build("h3", {}, t("version.of", { number: version.number })), verdictBadge(version.verdict)),
      version.subject ? build("p", { class: "said" }, build("strong", {}, ...side(titles, only))) : "",
      build("p", { class: "said" }, ...side(runs, only)),
      phone({ ...version, opening: "", closing: "", channel: draft.channel, locale: draft.locale }, from),
    );
  }

  function draw() {
    const [one, other] = [before, after].map((choice) => versions.find((version) => String(version.number) === choice.value));
    const runs = differences(one.template, other.template);
    const titles = differences(one.subject, other.subject);
    shown.replaceChildren(column(one, runs, titles, "gone"), column(other, runs, titles, "new"));
    const count = runs.filter(([kind]) => kind !== "same").length;
    announce(count ? t("versions.changes", { count }) : t("versions.equal"));
  }

  before.addEventListener("change", draw);
  after.addEventListener("change", draw);
  draw();
  return build(
    "section",
    { class: "stacked" },
    build("h2", {}, t("versions")),
    build("div", { class: "filters" }, field(t("versions.before"), before, { class: "field wide" }), field(t("versions.after"), after, { class: "field wide" })),
    shown,
  );
}
