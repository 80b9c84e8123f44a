/* The page on which a text is checked by the compliance rules while it is typed. */

import {
  announce, build, button, call, empty, enter, failure, Failure, field, frame, locale, select, skeleton, t,
} from "./knowledge-kit.js";
import { completion } from "./check-complete.js";
import { contextFields } from "./check-context.js";
import { byRule, findingItem, uncheckedList, verdict, verdictWords } from "./check-findings.js";
import { inUnits, isWhole, moved, pieces, RANK } from "./check-spans.js";

const PAUSE_MS = 150;
const TASKS = ["marketing", "chat", "agent", "collections"];
const CHANNELS = ["sms", "push", "in_app", "wechat", "email", "call_script", "chat", "phone", "poster"];
/** Where a text waits while the page is left: to change the language, or to sign in again. */
const DRAFT_KEY = "zhunxin:check-draft";

/** The text area above a copy of its text in which what was found is marked. */
function editor() {
  const area = build("textarea", {
    id: "text", rows: "8", spellcheck: "false", autocomplete: "off", placeholder: t("text.hint"),
    "aria-describedby": "text-about",
  });
  const marked = build("div", { class: "marked", "aria-hidden": "true" });
  const sheet = build("div", { class: "sheet" }, build("div", { class: "layers" }, marked, area));
  let spans = [];
  let shown = "";

  function draw() {
    const nodes = pieces(shown, spans).map(({ text, covered }) => {
      if (!covered.length) return text;
      const worst = covered.reduce((a, b) => (RANK[b.severity] > RANK[a.severity] ? b : a));
      const node = build("mark", { class: worst.severity }, text);
      node.dataset.rules = covered.map(({ rule }) => rule).join(" ");
      return node;
    });
    // The last line of a text area counts even where it is empty.
    marked.replaceChildren(...nodes, "\u200b");
  }

  return {
    node: build(
      "div",
      { class: "field whole" },
      build("label", { for: "text" }, t("text")),
      sheet,
      build("p", { class: "small", id: "text-about" }, t("text.about")),
    ),
    area,
    /** After an edit: marks move with their words. */
    follow() {
      spans = moved(spans, shown, area.value);
      shown = area.value;
      draw();
    },
    mark(findings) {
      spans = findings.filter((finding) => !isWhole(finding, area.value));
      shown = area.value;
      draw();
    },
    /** Selects a finding's words, and brings them into view. */
    go({ span: [start, end] }) {
      area.focus({ preventScroll: true });
      area.setSelectionRange(start, end);
      let at = 0;
      for (const node of marked.childNodes) {
        if (at >= start && node.nodeType === Node.ELEMENT_NODE) {
          node.scrollIntoView({ block: "center" });
          break;
        }
        at += node.textContent.length;
      }
    },
  };
}

function checker(me) {
  const text = editor();
  const task = select(TASKS.map((name) => [name, t(`task.${name}`)]), "marketing", { id: "task" });
  const channel = select(
    [["", t("channel.any")], ...CHANNELS.map((name) => [name, t(`channel.${name}`)])],
    "",
    { id: "channel" },
  );
  const pack = select([["", ""]], "", { id: "pack" });
  const day = build("input", { type: "date", id: "on" });
  const complete = build("input", { type: "checkbox", id: "complete" });
  const context = contextFields(field(t("pack"), pack), field(t("on"), day));
  const result = build("section", { id: "result", "aria-label": t("result") });
  const titles = new Map();
  let waiting = 0;
  let running = new AbortController();
  let learned = 0;
  let told = "";
  let keeps = true;

  function tell(words) {
    if (words === told) return;
    told = words;
    announce(words);
  }

  /** Nothing of an older check stays where there is no newer one. */
  function nothing(...shown) {
    text.mark([]);
    result.removeAttribute("aria-busy");
    result.replaceChildren(...shown);
  }

  function later() {
    clearTimeout(waiting);
    running.abort();
    if (text.area.value.trim()) result.setAttribute("aria-busy", "true");
    waiting = setTimeout(check, PAUSE_MS);
  }

  async function check() {
    clearTimeout(waiting);
    running.abort();
    running = new AbortController();
    const { signal } = running;
    const written = text.area.value;
    if (!written.trim()) {
      nothing(start());
      tell("");
      return;
    }
    result.setAttribute("aria-busy", "true");
    if (!result.querySelector("#verdict")) result.replaceChildren(skeleton());
    const body = {
      text: written,
      task: task.value,
      channel: channel.value || null,
      context: { ...context.said(), complete: complete.checked },
      pack: pack.value || null,
      on: day.value || null,
    };
    try {
      const review = await call("/v1/check", { method: "POST", body, signal });
      if (signal.aborted) return;
      show({ ...review, findings: inUnits(review.findings, written) }, written, body);
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      if (!(error instanceof Failure)) throw error;
      nothing(failure(error, check), build("p", { class: "small" }, t("failed.kept")));
      told = "";
    }
  }

  function take(completed) {
    text.area.value = completed;
    complete.checked = true;
    text.follow();
    text.area.focus();
    check();
  }

  function show(review, written, body) {
    const open = result.querySelector("details")?.open ?? false;
    text.mark(review.findings);
    const groups = byRule(review.findings);
    const list = build("ol", { class: "findings" });
    for (const group of groups) {
      const [{ rule }] = group;
      const told = review.cut.includes(rule) ? review.findings.filter((finding) => finding.rule === rule).length : 0;
      list.append(findingItem(group, written, text.go, told));
    }
    result.removeAttribute("aria-busy");
    result.replaceChildren(
      verdict(review),
      ...(groups.length ? [list] : []),
      // What is put in is for the rules that the server itself judges by.
      ...(body.pack ? [] : [completion(body, take, tell)]),
      ...(review.unchecked.length ? [uncheckedList(review.unchecked, titles, context, open)] : []),
      build("p", { class: "small" }, t("version", { version: review.rules_version })),
    );
    tell(verdictWords(review).join(" "));
  }

  function start() {
    const example = button(t("example.try"), { class: "plain" }, () => {
      text.area.value = t("example");
      text.follow();
      text.area.focus();
      check();
    });
    return empty(t("text.none"), example);
  }

  function keep() {
    if (!keeps) return;
    const said = {
      task: task.value, channel: channel.value, pack: pack.value, on: day.value, complete: complete.checked,
      context: context.keep(),
    };
    sessionStorage.setItem(DRAFT_KEY, JSON.stringify({ login: me.login, text: text.area.value, ...said }));
  }

  /** Only for whoever wrote it: another account may have signed in since. */
  async function restore() {
    const kept = JSON.parse(sessionStorage.getItem(DRAFT_KEY) ?? "null");
    sessionStorage.removeItem(DRAFT_KEY);
    if (kept?.login !== me.login) return learn("");
    text.area.value = kept.text;
    task.value = kept.task;
    channel.value = kept.channel;
    day.value = kept.on;
    complete.checked = kept.complete;
    text.follow();
    // Its own fields are there only when its rules are known.
    await learn("");
    if (kept.pack) await learn(kept.pack);
    pack.value = kept.pack;
    context.restore(kept.context);
  }

  /** Of the rules of a pack, or the server's own: their names, for those that are listed by their
      number alone, and what they may ask about a text. */
  async function learn(name) {
    const mine = ++learned;
    try {
      const known = await call(name ? `/v1/rules?pack=${name}` : "/v1/rules");
      if (mine !== learned) return;
      for (const rule of known.rules) titles.set(rule.id, locale === "en" ? rule.title_en : rule.title);
      context.learn(known.context);
      if (name) return;
      const others = known.packs.filter((other) => other !== known.pack);
      pack.replaceChildren(
        new Option(t("pack.own", { pack: known.pack }), ""),
        ...others.map((other) => new Option(other, other)),
      );
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  text.area.addEventListener("input", (event) => {
    text.follow();
    // What an input method has not finished is no text yet.
    if (!event.isComposing) later();
  });
  text.area.addEventListener("compositionend", later);
  addEventListener("online", check);
  addEventListener("pagehide", keep);
  const form = build(
    "form",
    { id: "asked" },
    build(
      "div",
      { class: "filters" },
      field(t("task"), task),
      field(t("channel"), channel),
      build("label", { class: "tick" }, complete, t("context.complete")),
    ),
    text.node,
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const control of [task, channel, complete]) control.addEventListener("change", check);
  pack.addEventListener("change", async () => {
    clearTimeout(waiting);
    await learn(pack.value);
    check();
  });
  context.node.addEventListener("input", later);
  return {
    nodes: [form, result, context.node],
    async begin() {
      result.replaceChildren(skeleton());
      await restore();
      await check();
    },
    forget() {
      keeps = false;
    },
  };
}

async function begin() {
  const me = await enter("check");
  if (!me) return;
  const here = build("a", { href: "/check", "aria-current": "page" }, t("page.check"));
  const page = checker(me);
  const place = build("div", { id: "check" }, ...page.nodes);
  const heading = frame(me, t("pages"), [here], place, page.forget);
  heading.textContent = t("heading");
  announce("");
  await page.begin();
}

begin();
