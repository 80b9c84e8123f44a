/* Whom an offer is for: conditions over what is known of customers, counted as they are edited. */

import {
  announce, badge, build, button, call, Failure, failure, field, said, select, t, table,
} from "./knowledge-kit.js";
import { attributeNames, channelName, conditionWords, grouped, titled, valueWords } from "./studio-kit.js";

const PAUSE_MS = 400;
const MOST_CONDITIONS = 20;
/** Reasons that are shown of why somebody may not be addressed. */
const REASONS = 6;

/** A field for the value of a condition; `read` gives the value, or null where there is none. */
function valueField(attribute, op, value) {
  const closed = attribute.values.map(String);
  const label = { "aria-label": t("condition.value") };
  if (op === "in" || op === "not_in") {
    const known = new Set((Array.isArray(value) ? value : []).map(String));
    if (closed.length) {
      const box = build("fieldset", { class: "ticks" }, build("legend", { class: "unseen" }, t("condition.value")));
      for (const one of closed) {
        const tick = build("input", { type: "checkbox", value: one, checked: known.has(one) });
        box.append(build("label", { class: "tick" }, tick, valueWords(one)));
      }
      const read = () => [...box.querySelectorAll("input:checked")].map((tick) => tick.value);
      return { node: box, read: () => (read().length ? read() : null) };
    }
    const input = build("input", { ...label, value: [...known].join(" "), placeholder: t("condition.several") });
    return {
      node: input,
      read() {
        const all = [...new Set(input.value.split(/[\s,，、;；]+/).filter(Boolean))];
        return all.length ? all : null;
      },
    };
  }
  if (attribute.kind === "flag") {
    const given = closed.length ? closed : ["true", "false"];
    const node = select(given.map((one) => [one, t(`flag.${one}`)]), given.includes(String(value)) ? String(value) : given[0], label);
    return { node, read: () => node.value === "true" };
  }
  if (closed.length) {
    const node = select(closed.map((one) => [one, valueWords(one)]), closed.includes(String(value)) ? String(value) : closed[0], label);
    return { node, read: () => (attribute.kind === "count" ? Number(node.value) : node.value) };
  }
  const isText = attribute.kind === "text";
  const shown = value == null || Array.isArray(value) || typeof value === "boolean" ? "" : String(value);
  const input = build("input", { ...label, value: shown, inputmode: isText ? null : "decimal", placeholder: attribute.kind === "share" ? t("condition.share") : null });
  return { node: input, read: () => input.value.trim() || null };
}

/** One condition that is edited. */
function row(usable, given, changed, removed) {
  const attribute = select(usable.map((one) => [one.id, titled(one.title)]), given.attribute, { "aria-label": t("condition.attribute") });
  const op = select([], "", { "aria-label": t("condition.op") });
  const place = build("div", { class: "value" });
  const wrong = build("p", { class: "small wrong", role: "alert" });
  const away = button(t("condition.remove"), { class: "quiet" }, () => removed());
  let value = null;

  const chosen = () => usable.find((one) => one.id === attribute.value);

  function ops(wanted) {
    const known = chosen();
    op.replaceChildren(...known.ops.map((name) => build("option", { value: name }, t(`op.${name}`))));
    op.value = known.ops.includes(wanted) ? wanted : known.ops[0];
  }

  function values(given) {
    value = valueField(chosen(), op.value, given);
    place.replaceChildren(value.node);
    value.node.addEventListener("input", changed);
  }

  attribute.addEventListener("change", () => {
    ops(op.value);
    values(null);
    changed();
  });
  op.addEventListener("change", () => {
    values(value.read());
    changed();
  });
  ops(given.op);
  values(given.value);
  return {
    node: build("li", { class: "condition" }, attribute, op, place, away, wrong),
    /** null: it is not finished. */
    read() {
      const read = value.read();
      return read === null ? null : { attribute: attribute.value, op: op.value, value: read };
    },
    tell(problem) {
      wrong.textContent = problem;
    },
    focus: () => attribute.focus(),
  };
}

/** Which segment, and its conditions.

    campaign: whose segments there are beside the saved ones. listed: answer of /v1/segments.
    channel(): for whom it is counted who may be addressed; empty: nobody. mayWrite: may save. */
export function segmentEditor({ campaign, listed, channel, mayWrite, signal, chosen = "" }) {
  const attributes = new Map(listed.attributes.map((one) => [one.id, one]));
  const usable = listed.attributes.filter((one) => !one.sensitive && one.ops.length);
  const saved = [...listed.segments];
  const choice = select([], "", { id: "segment" });
  const list = build("ol", { class: "conditions", "aria-label": t("conditions") });
  const counted = build("div", { class: "counted", role: "status" });
  const title = build("input", { id: "segment-title", maxlength: "60" });
  const save = button(t("segment.save"), { class: "plain" }, keep);
  const keeping = build("div", { class: "filters keeping", hidden: true }, field(t("segment.title"), title, { class: "field wide" }), save);
  const keepNote = build("p", { class: "small", hidden: true }, t("segment.changed"));
  const failed = build("div");
  const add = button(t("condition.add"), { class: "plain" }, () => {
    put({ attribute: usable[0].id, op: usable[0].ops[0], value: null }).focus();
    changed();
  });
  let rows = [];
  let original = "[]";
  let waiting = 0;
  let running = new AbortController();
  signal.addEventListener("abort", () => {
    clearTimeout(waiting);
    running.abort();
  });

  const all = () => [...campaign.segments, ...saved];
  const conditions = () => rows.map((one) => one.read()).filter(Boolean);
  const isChanged = () => JSON.stringify(conditions().map(plain)) !== original;

  /** Numbers and texts of digits are the same condition. */
  function plain({ attribute, op, value }) {
    const one = (each) => (typeof each === "boolean" ? each : String(each));
    return [attribute, op, Array.isArray(value) ? value.map(one) : one(value)];
  }

  function options(value) {
    choice.replaceChildren(
      build("option", { value: "" }, t("segment.plain")),
      ...campaign.segments.map((one) => build("option", { value: one.id }, titled(one.title))),
    );
    if (saved.length) {
      const group = build("optgroup", { label: t("segment.saved") });
      for (const one of saved) group.append(build("option", { value: one.id }, titled(one.title)));
      choice.append(group);
    }
    choice.value = all().some((one) => one.id === value) ? value : "";
  }

  function put(given) {
    const one = row(usable, given, changed, () => {
      const at = rows.indexOf(one);
      rows = rows.filter((other) => other !== one);
      one.node.remove();
      (rows[Math.min(at, rows.length - 1)] ?? { focus: () => add.focus() }).focus();
      changed();
    });
    rows.push(one);
    list.append(one.node);
    return one;
  }

  function load() {
    const known = all().find((one) => one.id === choice.value);
    rows = [];
    list.replaceChildren();
    for (const one of known?.conditions ?? []) put(one);
    original = JSON.stringify(conditions().map(plain));
    changed();
  }

  function changed() {
    const differs = isChanged();
    keeping.hidden = !differs || !mayWrite || !conditions().length;
    keepNote.hidden = !differs;
    add.disabled = rows.length >= MOST_CONDITIONS;
    clearTimeout(waiting);
    counted.setAttribute("aria-busy", "true");
    waiting = setTimeout(count, PAUSE_MS);
  }

  async function count() {
    clearTimeout(waiting);
    running.abort();
    running = new AbortController();
    const { signal: stopped } = running;
    const finished = rows.filter((one) => one.read());
    for (const one of rows) one.tell("");
    try {
      const body = { conditions: finished.map((one) => one.read()), campaign: campaign.id, channel: channel() || null };
      const answer = await call("/v1/segments/count", { method: "POST", body, signal: stopped });
      if (!stopped.aborted) counted.replaceChildren(...result(answer, body));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      const named = error.fields.filter((one) => /^conditions\.\d+$/.test(one.field));
      for (const one of named) finished[Number(one.field.split(".")[1])]?.tell(one.problem);
      counted.replaceChildren(named.length ? build("p", { class: "small" }, t("segment.mend")) : failure(error, count));
    }
    counted.removeAttribute("aria-busy");
  }

  function result(answer, body) {
    if (!answer.of) return [build("p", { class: "note" }, t("segment.nobody"))];
    const share = { count: grouped(answer.matching), all: grouped(answer.of) };
    const nodes = [build("p", { class: "big" }, build("strong", {}, t("segment.count", share)))];
    if (answer.reachable !== null) {
      nodes.push(build("p", {}, t("segment.reachable", { count: grouped(answer.reachable), channel: channelName(body.channel) })));
    }
    if (!answer.whole) nodes.push(build("p", { class: "small" }, t("segment.sampled", { count: grouped(answer.of) })));
    const reasons = Object.entries(answer.refusals).slice(0, REASONS);
    if (reasons.length) {
      const told = reasons.map(([reason, number]) => t("counted", { name: t(`reason.${reason}`), count: grouped(number) }));
      nodes.push(build("p", { class: "small" }, t("segment.reasons", { reasons: told.join(t("list.and")) })));
    }
    nodes.push(
      build(
        "p",
        { class: "note" },
        answer.attributes.length ? t("segment.uses", { names: attributeNames(answer.attributes, attributes) }) : t("segment.uses.none"),
      ),
    );
    if (answer.preview.length) {
      const columns = [t("column.customer"), ...answer.attributes.map((name) => titled(attributes.get(name).title)), t("column.reach")];
      const body_rows = answer.preview.map((one) => ({
        cells: [
          build("span", {}, one.name, " ", build("code", { class: "small" }, one.id)),
          ...answer.attributes.map((name) => valueWords(one.values[name] || "–", attributes.get(name).kind)),
          one.refusals.length ? one.refusals.map((reason) => t(`reason.${reason}`)).join(t("list.and")) : answer.reachable === null ? "–" : badge("done", t("reach.yes")),
        ],
      }));
      nodes.push(build("details", {}, build("summary", {}, t("segment.preview", { count: answer.preview.length })), table(t("segment.preview", { count: answer.preview.length }), columns, body_rows)));
    }
    return nodes;
  }

  async function keep() {
    failed.replaceChildren();
    if (!title.value.trim()) {
      title.focus();
      return;
    }
    try {
      const body = { title: title.value.trim(), conditions: conditions() };
      const kept = await call("/v1/segments", { method: "POST", body, signal });
      if (signal.aborted) return;
      const at = saved.findIndex((one) => one.id === kept.id);
      if (at >= 0) saved[at] = kept;
      else saved.unshift(kept);
      options(kept.id);
      load();
      title.value = "";
      announce(t("segment.kept", { title: titled(kept.title) }));
      choice.focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      const problems = error.fields.map((one) => said(one.problem)).join(" ");
      failed.replaceChildren(problems ? build("p", { class: "note stale", role: "alert" }, problems) : failure(error, keep));
    }
  }

  choice.addEventListener("change", load);
  options(chosen);
  load();
  return {
    node: build(
      "div",
      { class: "halves" },
      build("div", { class: "stacked" }, field(t("segment"), choice), list, build("div", { class: "row" }, add), keepNote, keeping, failed, barred(listed.attributes)),
      counted,
    ),
    count: changed,
    /** Id of the segment; null where its conditions were changed and not saved. */
    chosen: () => (isChanged() && conditions().length ? null : isChanged() ? "" : choice.value),
    askToSave() {
      keepNote.scrollIntoView({ block: "center" });
      title.focus();
    },
    said: () => conditions().map((one) => conditionWords(one, attributes)),
  };
}

/** What no segment may be made by, and why. */
function barred(all) {
  const list = build("ul", { class: "plain-list small" });
  for (const one of all.filter((each) => each.sensitive)) {
    list.append(build("li", {}, build("strong", {}, titled(one.title)), " ", titled(one.why)));
  }
  return build("details", { class: "barred" }, build("summary", {}, t("segment.barred")), list);
}
