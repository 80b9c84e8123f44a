/* Drafts of evaluation cases: what two people say a right reply is, and how far they agree. */

import {
  announce, badge, build, button, call, empty, failure, Failure, field, fillWith, note, paged, said, select, t,
} from "./knowledge-kit.js";
import { interval, share } from "./quality-charts.js";

export const STATUSES = ["answered", "not_covered", "clarify", "handoff", "refused"];
const WITH_FACTS = new Set(["answered", "handoff"]);
const MARKS = { open: "plain", disputed: "failed", agreed: "done" };

export async function showLabels(place, { signal }) {
  const held = build("div", { class: "stacked" });
  place.append(held);
  const list = paged("/v1/feedback/cases", "drafts", signal);
  const draw = async () => {
    const [found, { may }] = await Promise.all([list.load(), call("/v1/feedback/summary?days=1", { signal })]);
    const drawn = (draft) => card(draft, may.includes("label"), again, signal);
    return [...view(found, drawn), ...list.more(found, t("labels.more"), drawn)];
  };
  const again = () => fillWith(held, draw, signal);
  await again();
}

function view(found, drawn) {
  const about = t("labels.about", { file: found.file, count: found.in_file });
  const parts = [build("p", { class: "small" }, about)];
  if (!found.drafts.length) return [...parts, empty(t("labels.none"))];
  const { kappa, facts_same: facts } = found;
  const told = kappa
    ? t("labels.kappa", { value: share(kappa.value), interval: interval(kappa), n: kappa.n, facts: share(facts.value) })
    : t("labels.kappa.none");
  parts.push(build("p", { class: "verdict" }, told));
  return [...parts, ...found.drafts.map(drawn)];
}

function card(draft, mayLabel, again, signal) {
  const state = t(`labels.state.${draft.state}`, { count: draft.labelled_by });
  const node = build(
    "article",
    { class: "card case", "data-draft": draft.id },
    build("div", { class: "between" }, build("p", { class: "asked said" }, draft.question), badge(MARKS[draft.state], state)),
  );
  for (const label of draft.labels) {
    const status = t(`status.${label.status}`);
    node.append(build("p", {}, t(label.mine ? "labels.mine" : "labels.other", { status })));
    if (label.facts.length) {
      const list = build("ul", { class: "plain-list" });
      for (const fact of label.facts) list.append(build("li", {}, fact.join(" | ")));
      node.append(list);
    }
  }
  const mine = draft.labels.find((label) => label.mine);
  if (mayLabel && (mine || draft.labelled_by < 2)) {
    const held = build("div");
    const open = button(t(mine ? "labels.change" : "labels.give"), { class: "plain" }, () => {
      open.hidden = true;
      const form = labelForm(mine ?? { status: "answered", facts: [] }, {
        close() {
          held.replaceChildren();
          open.hidden = false;
          open.focus();
        },
        async save(label) {
          await call(`/v1/feedback/cases/${draft.id}/labels`, { method: "POST", body: label, signal });
          announce(t("saved"));
          await again();
        },
      });
      held.replaceChildren(form);
      form.querySelector("select").focus();
    });
    node.append(build("div", { class: "row" }, open), held);
  }
  return node;
}

/** What a right reply is: asks for the status and, where there is an answer, its facts. */
export function labelForm({ status, facts }, { save, close }) {
  const chosen = select(STATUSES.map((name) => [name, t(`status.${name}`)]), status);
  const lines = build("textarea", { rows: "3", name: "facts" });
  lines.value = facts.map((fact) => fact.join(" | ")).join("\n");
  const factsField = field(t("label.facts"), lines, { class: "field whole" });
  const fit = () => (factsField.hidden = !WITH_FACTS.has(chosen.value));
  chosen.addEventListener("change", fit);
  fit();
  return savingForm([field(t("label.status"), chosen), factsField], close, () => {
    const split = (line) => line.split("|").map((part) => part.trim()).filter(Boolean);
    const given = WITH_FACTS.has(chosen.value) ? lines.value.split("\n").map(split) : [];
    return save({ status: chosen.value, facts: given.filter((fact) => fact.length) });
  });
}

/** A form with its fields, a button that saves and one that closes it; a fault is told in it, after the
    label of the field that it is of where that is named as in the request. */
export function savingForm(fields, close, save) {
  const fault = build("div");
  const send = build("button", { class: "strong" }, t("save"));
  // Not disabled meanwhile, which would take the focus from whoever pressed it.
  const form = build(
    "form",
    { class: "filters saving" },
    ...fields,
    build("div", { class: "field whole" }, fault, build("div", { class: "row" }, send, button(t("cancel"), { class: "plain" }, close))),
  );
  const wrong = ({ field: at, problem }) => {
    const fits = ({ name }) => name && (at === name || at.startsWith(`${name}.`) || name.startsWith(`${at}.`));
    const label = [...form.elements].find(fits)?.labels[0].textContent;
    return note(label ? t("field.wrong", { label, problem: said(problem) }) : said(problem));
  };
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    fault.replaceChildren();
    try {
      await save();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      fault.replaceChildren(failure(error), ...error.fields.map(wrong));
    } finally {
      busy = false;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) close();
  });
  return form;
}
