/* One conversation at the desk: what to know first, all that was said, and the reply box. */

import { announce, badge, build, button, call, Failure, locale, t } from "./knowledge-kit.js";
import { askEnding, heldActions, replyBox } from "./desk-reply.js";
import { reasons, shortTime } from "./desk-queue.js";

/** Parts of the summary that may be long. */
const WIDE = ["not_covered", "topics"];
/** When to look, after a conversation was opened, for what the assistant was still asked just then. */
const LATE_MS = [1500, 4000, 10_000];
/** How often to look while it still answers. */
const ANSWERING_MS = 2000;
const LONGEST_ANSWER_MS = 300_000;
const PLACEHOLDER = /<([A-Z]+)_\d+>/g;

/** Text with what was masked in words. */
function shown(text) {
  return text.replace(PLACEHOLDER, (whole, kind) => {
    const named = t(`kind.${kind.toLowerCase()}`);
    return named.startsWith("kind.") ? whole : t("masked", { kind: named });
  });
}

function summary(held, words) {
  const { summary: known, handoff } = held;
  const list = build("dl", { class: "brief" });
  const row = (key, ...parts) => {
    const said = parts.flat().filter(Boolean);
    const wide = WIDE.includes(key) && "wide";
    if (said.length) list.append(build("div", { class: wide }, build("dt", {}, t(`summary.${key}`)), build("dd", {}, ...said)));
  };
  const joined = (texts) => shown(texts.join("；"));
  row("question", known.last_question ? shown(known.last_question) : t("summary.none"));
  row("identity", t(held.signed_in ? "identity.yes" : "identity.no"));
  if (held.contact) row("contact", held.contact);
  row("products", known.products.join("、"));
  row("figures", joined(known.figures));
  const counts = Object.entries(known.statuses).map(([status, count]) => `${t(`status.${status}`)} ${count}`);
  row("turns", counts.join("、"));
  row("not_covered", joined(known.not_covered));
  row("topics", joined(known.topics));
  return build(
    "section",
    { class: "summary", "aria-label": t("summary") },
    chips(handoff, words),
    list,
  );
}

function chips(handoff, words) {
  return build("p", { class: "row" }, ...reasons(handoff, words).map((each, at) => badge(at ? "plain" : "stale", each)));
}

function said(who, kind, at, ...parts) {
  return build(
    "article",
    { class: `line ${kind}` },
    build("p", { class: "small" }, build("strong", {}, who), " ", build("time", { datetime: at }, shortTime(at))),
    ...parts,
  );
}

function words(text) {
  return build("p", { class: "words" }, shown(text));
}

/** The pane. host: {me, copilot, plan(), changed(), opened}; plan() gives the words of the plan,
    copilot is null for those who answer nobody. */
export function talkPane(host) {
  const node = build("section", { class: "talk", id: "talk", "aria-label": t("talk") });
  const log = build("div", { class: "lines", role: "log", tabindex: "0", "aria-label": t("talk") });
  const place = build("div", { class: "below" });
  const supervisor = host.me.roles.includes("supervisor");
  let open = null;
  let seen = new Set();
  let held = new Map();
  /** Record -> {status, at, lines} of what the assistant was asked. */
  let turns = new Map();
  let late = 0;
  let reply = null;
  /** What was being written to somebody when one turned to somebody else. */
  const drafts = new Map();

  function name(event) {
    if (event.speaker === "borrower") return t("who.borrower");
    return event.speaker === "assistant" ? t("who.assistant") : t("who.agent", { name: event.name });
  }

  // The last message stays in view where it was, also when the reply box below grows.
  let atEnd = true;
  log.addEventListener("scroll", () => (atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80));
  new ResizeObserver(() => {
    if (atEnd) log.scrollTop = log.scrollHeight;
  }).observe(log);

  function add(drawn) {
    log.append(drawn);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function turnLines(turn) {
    const lines = [said(t("who.borrower"), "borrower", turn.at, words(turn.question))];
    const answer = turn.answer.length ? [words(turn.answer.join("\n"))] : [];
    lines.push(said(t("who.assistant"), "assistant", turn.at, ...answer, build("p", { class: "small" }, t(`status.${turn.status}`))));
    turns.set(turn.record_id, { status: turn.status, at: turn.at, lines });
    return lines;
  }

  /** The assistant may have been asked something just before it fell silent, and still answer it. */
  function lookAgain(id, times = LATE_MS) {
    clearTimeout(late);
    const answering = [...turns.values()].some((turn) => turn.status === "open" && Date.now() - Date.parse(turn.at) < LONGEST_ANSWER_MS);
    if (!times.length && !answering) return;
    const [wait, ...rest] = times.length ? times : [ANSWERING_MS];
    late = setTimeout(async () => {
      try {
        const now = await call(`/v1/desk/handoffs/${id}`);
        if (open?.handoff.id !== id) return;
        for (const turn of now.turns) redraw(turn);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        // It has ended, which the queue tells; without a connection one looks again.
        if (error.status >= 400 && error.status < 500) return;
      }
      lookAgain(id, rest);
    }, wait);
  }

  function redraw(turn) {
    const known = turns.get(turn.record_id);
    if (!known) {
      for (const line of turnLines(turn)) add(line);
      host.copilot?.heard();
    } else if (known.status !== turn.status) {
      const [first, ...others] = known.lines;
      first.replaceWith(...turnLines(turn));
      for (const line of others) line.remove();
    }
  }

  function eventLine(event) {
    if (event.erased && event.kind === "message") {
      return said(name(event), event.speaker, event.at, build("p", { class: "words small" }, t("erased")));
    }
    if (event.kind === "message") return said(name(event), event.speaker, event.at, words(event.text), ...marks(event));
    if (event.kind === "held") return heldLine(event);
    const step = build("p", { class: "step" }, t(`step.${event.kind}`, { name: event.name, text: event.text }), " ");
    step.append(build("time", { class: "small", datetime: event.at }, shortTime(event.at)));
    return step;
  }

  /** Why a person has to see a message, and which rules were found in one that was sent all the same. */
  function marks({ told }) {
    const classes = (told.classes ?? []).map((each) => badge("failed", host.plan().reasons[each]?.[locale] ?? each));
    if (classes.length) return [build("p", { class: "row" }, ...classes)];
    const rules = [...new Map((told.findings ?? []).map((each) => [each.rule, each])).values()];
    if (!rules.length) return [];
    const kinds = { block: "failed", fix: "stale", warn: "plain" };
    return [build("p", { class: "row" }, ...rules.map((each) => badge(kinds[each.severity], `${t(`severity.${each.severity}`)} ${each.rule}`)))];
  }

  function heldLine(event) {
    const line = said(`${name(event)} · ${t("step.held", { name: "" }).trim()}`, "held", event.at, words(event.text), ...marks(event));
    const pending = isPending(event);
    if (pending && supervisor) {
      const actions = heldActions(async (release, reason) => {
        try {
          const body = { release, reason };
          await call(`/v1/desk/held/${event.id}`, { method: "POST", body });
          actions.remove();
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          announce(error.message || error.told);
        }
      });
      line.append(actions);
      held.set(event.id, actions);
    }
    return line;
  }

  function isPending(event) {
    return !open.events.some((each) => each.told.held === event.id && each.kind !== "message");
  }

  function receive(event) {
    if (seen.has(event.id)) return;
    seen.add(event.id);
    open.events.push(event);
    if (event.told.held) held.get(event.told.held)?.remove();
    add(eventLine(event));
    if (event.kind !== "message") return;
    if (event.speaker === "borrower") {
      announce(`${t("who.borrower")}：${shown(event.text)}`);
      host.copilot?.heard();
    }
  }

  async function step(path, body) {
    try {
      await call(`/v1/desk/handoffs/${open.handoff.id}/${path}`, { method: "POST", body });
      host.changed();
      show(null);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      announce(error.message || error.told);
      host.changed();
    }
  }

  /** Closes with what was agreed on and promised; where that cannot be had, with a reason alone. */
  async function wrapUp() {
    if (!open || !node.querySelector(".head .row")) return;
    const { endings } = host.plan();
    if (host.copilot) {
      const kept = await host.copilot.wrapUp(document.body, endings);
      if (kept?.closed) {
        announce(t("wrapped_up"));
        host.changed();
        show(null);
        host.copilot.score(node.querySelector(".empty"), kept.conversation_id);
      }
      if (kept !== "bare") return;
    }
    const ending = await askEnding(endings);
    if (ending) step("close", { ending });
  }

  function actions() {
    return build(
      "div",
      { class: "row" },
      button(t("requeue"), { class: "quiet" }, () => step("requeue")),
      button(t("return"), { class: "plain" }, () => step("return")),
      button(t("close"), { class: "plain", "aria-keyshortcuts": "Alt+W", title: t("close.key") }, wrapUp),
    );
  }

  /** A button above the conversation where there is more of it. */
  function offerOlder(before) {
    if (before === null) return;
    const more = button(t("older"), { class: "quiet" }, async () => {
      const { id } = open.handoff;
      more.disabled = true;
      try {
        const page = await call(`/v1/desk/handoffs/${id}?before=${before}`);
        if (open?.handoff.id !== id) return;
        const from = log.scrollHeight - log.scrollTop;
        const added = page.events.filter((event) => !seen.has(event.id));
        for (const event of added) seen.add(event.id);
        open.events.unshift(...added);
        more.replaceWith(...added.map(eventLine));
        offerOlder(page.older);
        log.scrollTop = log.scrollHeight - from;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        more.disabled = false;
        announce(error.message || error.told);
      }
    });
    log.prepend(more);
  }

  function keepDraft() {
    if (open && reply) drafts.set(open.handoff.id, reply.draft());
  }

  function show(held_) {
    keepDraft();
    open = held_;
    seen = new Set();
    held = new Map();
    turns = new Map();
    clearTimeout(late);
    reply = null;
    host.opened(open?.handoff.id ?? "");
    if (!open) {
      const key = host.mayWrite ? "none.open" : "none.read";
      node.replaceChildren(build("div", { class: "empty" }, build("p", {}, t(key))));
      host.copilot?.show("", false, "");
      return;
    }
    const { handoff } = open;
    const running = handoff.state === "taken";
    const mayEnd = running && (open.may_write || supervisor);
    const head = build(
      "div",
      { class: "between head" },
      build("h2", { tabindex: "-1" }, reasons(handoff, host.plan())[0]),
      mayEnd ? actions() : "",
    );
    log.replaceChildren();
    node.replaceChildren(head, summary(open, host.plan()), log, place);
    const lines = [
      ...open.turns.map((turn) => ({ at: turn.at, draw: () => turnLines(turn) })),
      ...open.events.map((event) => ({ at: event.at, draw: () => [eventLine(event)] })),
    ];
    lines.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    for (const line of lines) log.append(...line.draw());
    offerOlder(open.older);
    for (const event of open.events) seen.add(event.id);
    if (open.may_write) {
      const check = (text, signal) => host.copilot.check(text, signal);
      reply = replyBox(host.me, drafts.get(handoff.id) ?? "", {
        check,
        expand: (macro) => host.copilot.expand(macro),
        send: (body) => call(`/v1/desk/handoffs/${handoff.id}/messages`, { method: "POST", body }),
        said(event, text, origin) {
          receive(event);
          host.copilot.sent(event, text, origin);
        },
        told: announce,
      });
      place.replaceChildren(reply.node);
      reply.focus();
    } else {
      place.replaceChildren(running ? "" : build("p", { class: "small" }, t("ended")));
      head.querySelector("h2").focus();
    }
    log.scrollTop = log.scrollHeight;
    if (running) lookAgain(handoff.id);
    host.copilot?.show(handoff.id, open.may_write, handoff.locale);
  }

  return {
    node,
    show,
    receive(event) {
      if (event.handoff === open?.handoff.id) receive(event);
    },
    /** Of the copilot: {text, suggestion_id, variant}. */
    insert: (made) => reply?.insert(made),
    wrapUp,
    /** What is being written: [hand-over, text] of each. */
    drafts() {
      keepDraft();
      return [...drafts].filter(([, text]) => text);
    },
    resume(id, text) {
      drafts.set(id, text);
    },
    /** It is asked for with more reasons, has ended, or is somebody else's now. */
    refresh(row) {
      if (!open) return;
      if (row && row.classes.join() !== open.handoff.classes.join()) {
        open.handoff.classes = row.classes;
        node.querySelector(".head h2").textContent = reasons(row, host.plan())[0];
        node.querySelector(".summary > .row").replaceWith(chips(row, host.plan()));
      }
      if (row && row.state === open.handoff.state && row.taken_by === open.handoff.taken_by) return;
      if (open.may_write) {
        place.replaceChildren(build("p", { class: "note" }, t("ended")));
        node.querySelector(".head .row")?.remove();
        open.may_write = false;
        host.copilot?.stop();
      }
    },
  };
}
