/* The copilot beside a conversation: the customer, what to say next, scripts, knowledge, tasks. */

import { cardView } from "./copilot-card.js";
import { button } from "./copilot-kit.js";
import { showScore } from "./copilot-score.js";
import { scriptsView } from "./copilot-scripts.js";
import { searchView } from "./copilot-search.js";
import { stepsView } from "./copilot-steps.js";
import { FORMS, suggestionView } from "./copilot-suggestion.js";
import { tasksView } from "./copilot-tasks.js";
import { askWrapUp } from "./copilot-wrap-up.js";
import { build } from "./widget-dom.js";
import { LOCALES } from "./widget-strings.js";

const TASKS = ["agent", "collections"];
/** What each key does, with Alt held. */
const KEYS = [
  ["Digit1", "Alt+1", "keys.reply"],
  ["Digit2", "Alt+2", "keys.short"],
  ["Digit3", "Alt+3", "keys.detailed"],
  ["KeyR", "Alt+R", "keys.again"],
  ["KeyS", "Alt+S", "keys.scripts"],
  ["KeyK", "Alt+K", "keys.search"],
  ["KeyW", "Alt+W", "keys.wrap_up"],
  ["Slash", "Alt+/", "keys.help"],
];

/** host: as in copilot-kit.js, and {insert(made), wrapUp(), keysMore}: what a key inserts or opens,
    and further keys to be told of. */
export function copilotPane(host) {
  const { t } = host;
  let asked = null;
  let writes = false;
  let life = new AbortController();
  let running = new AbortController();

  const act = {
    insert(form) {
      const made = view.form(form);
      if (!made || !writes) return;
      host.insert(made);
      host.followed({ kind: "inserted", ...made });
    },
    dismiss() {
      if (view.id) host.followed({ kind: "dismissed", suggestion_id: view.id, variant: "", text: "" });
      view.say(t("dismissed"));
    },
  };
  const view = suggestionView(host, act);
  const steps = stepsView(host, {
    script(id) {
      if (writes && scripts.use(id)) return;
      choose("scripts");
      scripts.show(id);
    },
    again: () => loadNext(),
  });
  const card = cardView(host);
  const scripts = scriptsView(host);
  const search = searchView(host);
  const tasks = tasksView(host);
  const again = button("↻", { class: "quiet", "aria-label": t("keys.again"), title: `${t("keys.again")} Alt+R` }, () => suggest());
  const suggesting = build("div", { class: "suggesting" }, build("div", { class: "tab-body" }, view.node), steps.node);
  const bodies = { suggest: suggesting, scripts: scripts.node, search: search.node, tasks: tasks.node };

  const task = build("select", { class: "quiet", "aria-label": t("task") }, ...TASKS.map((name) => build("option", { value: name }, t(`task.${name}`))));
  const help = build("button", { type: "button", class: "quiet", "aria-label": t("keys"), title: `${t("keys")} Alt+/` }, "?");
  const sheet = build(
    "div",
    { popover: "", class: "keys", role: "dialog", "aria-label": t("keys") },
    build("h3", {}, t("keys")),
    build(
      "dl",
      {},
      ...[...KEYS.map(([, key, said]) => [key, t(said)]), ...host.keysMore.map(([key, said]) => [key, t(said)])].map(([key, said]) =>
        build("div", {}, build("dt", {}, build("kbd", {}, key)), build("dd", {}, said)),
      ),
    ),
    build("p", { class: "small" }, t("keys.macro")),
  );
  help.popoverTargetElement = sheet;

  const tabs = build("div", { class: "tabs", role: "tablist", "aria-label": t("copilot") });
  for (const [name, body] of Object.entries(bodies)) {
    body.id = `copilot-${name}`;
    body.setAttribute("role", "tabpanel");
    body.setAttribute("aria-labelledby", `copilot-tab-${name}`);
    tabs.append(
      button(t(`tab.${name}`), { role: "tab", id: `copilot-tab-${name}`, "data-tab": name, "aria-controls": body.id }, () => choose(name)),
    );
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.indexOf(event.target) + step + all.length) % all.length];
    choose(next.dataset.tab);
    next.focus();
  });
  const head = build("div", { class: "copilot-head" }, tabs, build("span", { class: "row" }, again, task, help));
  const empty = build("div", { class: "empty" }, build("p", {}, t("empty")));
  const filled = build("div", { class: "filled", hidden: true }, card.node, head, ...Object.values(bodies), sheet);
  const node = build("section", { class: "copilot", "aria-label": t("copilot") }, empty, filled);

  function choose(name) {
    for (const tab of tabs.children) {
      const here = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
    }
    for (const [key, body] of Object.entries(bodies)) body.hidden = key !== name;
    if (name === "tasks") tasks.load();
  }

  function body() {
    return { ...asked, task: task.value };
  }

  async function suggest() {
    running.abort();
    if (!asked) return;
    if (!writes) {
      view.say(t("reading"));
      loadNext();
      return;
    }
    running = new AbortController();
    const { signal } = running;
    view.begin();
    try {
      const contact = steps.contact();
      for await (const event of host.stream("/v1/copilot/suggest", { ...body(), ...(contact ? { contact } : {}) }, signal)) {
        if (signal.aborted) return;
        if (event.name !== "next") view.take(event);
        else if ((asked.locale ?? LOCALES[0]) === host.locale) steps.draw(event.data);
        // Replies are in the borrower's language, what the agent reads in the agent's.
        else loadNext();
      }
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      if (!host.isFault(error)) throw error;
      view.fail(error, suggest);
    }
  }

  async function loadNext() {
    const { signal } = life;
    try {
      const contact = steps.contact();
      const found = await host.call("/v1/copilot/next", { method: "POST", body: { ...body(), locale: host.locale, ...(contact ? { contact } : {}) }, signal });
      if (!signal.aborted) steps.draw(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!host.isFault(error)) throw error;
      host.announce(error.message || error.told);
    }
  }

  task.addEventListener("change", () => {
    steps.collecting(task.value === "collections");
    scripts.load(body(), life.signal);
    suggest();
  });

  const DOES = {
    Digit1: () => act.insert(FORMS[0]),
    Digit2: () => act.insert(FORMS[1]),
    Digit3: () => act.insert(FORMS[2]),
    KeyR: suggest,
    KeyS: () => {
      choose("scripts");
      scripts.focus();
    },
    KeyK: () => {
      choose("search");
      search.focus();
    },
    KeyW: () => host.wrapUp(),
    Slash: () => sheet.togglePopover(),
  };

  choose("suggest");
  return {
    node,
    /** A conversation: {handoff} or {transcript}, with the borrower's locale. mayWrite: whether one answers in it. */
    open(case_, mayWrite) {
      life.abort();
      running.abort();
      life = new AbortController();
      asked = case_;
      writes = mayWrite;
      empty.hidden = true;
      filled.hidden = false;
      task.value = "agent";
      steps.collecting(false);
      steps.clear();
      choose("suggest");
      card.load(body(), life.signal);
      if (mayWrite) scripts.load(body(), life.signal);
      suggest();
    },
    /** The borrower has said something more. case_: with it, where it is a transcript. */
    heard(case_ = asked) {
      asked = case_;
      if (asked) suggest();
    },
    /** One has answered; what was being suggested is not needed any more. */
    answered(case_ = asked) {
      asked = case_;
      running.abort();
      view.answered();
      if (asked) loadNext();
    },
    close() {
      life.abort();
      running.abort();
      asked = null;
      writes = false;
      if (sheet.matches(":popover-open")) sheet.hidePopover();
      empty.hidden = false;
      filled.hidden = true;
    },
    stop() {
      writes = false;
      running.abort();
    },
    /** Does what a key stands for; false where it stands for nothing. */
    key(event) {
      if (!asked || !event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return false;
      const does = DOES[event.code];
      if (!does) return false;
      event.preventDefault();
      does();
      return true;
    },
    expand: (macro) => scripts.expand(macro),
    get suggestionId() {
      return view.id;
    },
    score: (place, conversationId) => showScore(host, place, conversationId),
    wrapUp: (place, endings) => askWrapUp(host, place, body(), endings),
    check: (text, signal) => host.call("/v1/copilot/check", { method: "POST", body: { ...body(), text }, signal }),
  };
}
