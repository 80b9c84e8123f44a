/* The desk page: who waits, taking one over, and talking to them. */

import { announce, build, button, call, enter, failure, Failure, frame, skeleton, t, toSignIn } from "./knowledge-kit.js";
import { deskCopilot } from "./desk-copilot.js";
import { queueList, reasons } from "./desk-queue.js";
import { talkPane } from "./desk-talk.js";
import { listen } from "./live-stream.js";

const WRITERS = ["agent", "supervisor"];
const READERS = ["supervisor", "auditor"];
/** Changes that come at once are drawn once. */
const GATHER_MS = 150;
/** Reasons with a priority up to this one are marked. */
const URGENT = 1;
const KEPT = "zhunxin:desk-drafts";

async function begin() {
  const me = await enter("desk");
  if (!me) return;
  const mayWrite = me.roles.some((role) => WRITERS.includes(role));
  const mayRead = me.roles.some((role) => READERS.includes(role));
  const here = build("a", { href: "/desk", "aria-current": "page" }, t("page.desk"));
  const life = new AbortController();
  const notes = build("div", { class: "notes" });
  const next = button(t("next"), { class: "strong", "aria-keyshortcuts": "Alt+N", title: t("next.key") }, takeNext);
  next.disabled = true;
  const list = queueList({ take, open: openCase });
  const side = build("section", { class: "side", "aria-label": t("queue") }, mayWrite ? next : "", notes, list.node);
  const copilot = mayWrite ? await deskCopilot(() => talk) : null;
  const talk = talkPane({ me, mayWrite, copilot, plan: () => queue, changed: () => load(), opened });
  const desk = build("div", { id: "desk", class: copilot ? "beside" : "" }, side, talk.node, copilot ? copilot.node : "");
  const heading = frame(me, t("pages"), [here], desk, leave);
  heading.textContent = t("heading");
  announce("");

  const unread = new Set();
  /** Of each conversation that is being opened, what was said meanwhile. */
  const opening = new Set();
  let queue = null;
  let waiting = null;
  let openId = "";
  let gathering = 0;
  let connected = true;
  let keeps = false;

  function leave() {
    keeps = false;
    life.abort();
  }

  function keep() {
    if (!keeps) return;
    const kept = { login: me.login, open: openId, drafts: talk.drafts() };
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  }

  /** Only for whoever wrote it: another account may have signed in since. */
  function restore() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    sessionStorage.removeItem(KEPT);
    keeps = true;
    if (kept?.login !== me.login) return;
    const readable = new Map(queue.handoffs.filter((row) => row.mine || mayRead).map((row) => [row.id, row]));
    for (const [id, text] of kept.drafts) if (readable.has(id)) talk.resume(id, text);
    if (readable.has(kept.open)) openCase(readable.get(kept.open));
  }

  function opened(id) {
    openId = id;
    unread.delete(id);
    if (queue) draw();
  }

  function draw() {
    const rows = queue.handoffs;
    const count = rows.filter((row) => row.state === "waiting").length;
    document.title = `${count ? `(${count}) ` : ""}${t("heading")} · ${t("title")}`;
    next.disabled = !rows.some((row) => row.may_take && row.state === "waiting");
    notes.replaceChildren();
    if (!connected) notes.append(build("p", { class: "note stale", role: "status" }, t("lost")));
    if (!queue.open) notes.append(build("p", { class: "note" }, t("closed")));
    if (!mayWrite) notes.append(build("p", { class: "note" }, t("read_only")));
    list.draw(rows, queue, { open: openId, unread, mayRead, urgent: URGENT, now: queue.now, readAt: queue.readAt });
    const now = new Map(rows.filter((row) => row.state === "waiting").map((row) => [row.id, row]));
    for (const [id, row] of now) {
      if (waiting && !waiting.has(id)) announce(t("arrived", { reason: reasons(row, queue)[0] }));
    }
    waiting = now;
  }

  async function load() {
    clearTimeout(gathering);
    gathering = 0;
    try {
      const read = await call("/v1/desk/queue");
      queue = { ...read, readAt: Date.now() };
      draw();
      if (openId) talk.refresh(queue.handoffs.find((row) => row.id === openId));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      notes.replaceChildren(failure(error, load));
    }
  }

  async function show(path, options) {
    const since = [];
    opening.add(since);
    try {
      const held = await call(path, options);
      await load();
      talk.show(held);
      for (const event of since) talk.receive(event);
      return held;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      await load();
      const told = error.message || error.told;
      notes.prepend(build("p", { class: "note stale", role: "alert" }, told));
      return null;
    } finally {
      opening.delete(since);
    }
  }

  async function take(row) {
    const held = await show(`/v1/desk/handoffs/${row.id}/take`, { method: "POST" });
    if (held) announce(t("taken", { reason: reasons(held.handoff, queue)[0] }));
  }

  function takeNext() {
    const row = queue?.handoffs.find((each) => each.may_take && each.state === "waiting");
    if (row) take(row);
  }

  function openCase(row) {
    show(`/v1/desk/handoffs/${row.id}`);
  }

  function receive({ name, data }) {
    if (name === "signed_out") {
      toSignIn();
      return false;
    }
    if (name === "message") {
      talk.receive(data);
      for (const since of opening) since.push(data);
      const judged = ["held", "released", "refused"].includes(data.kind);
      const mine = queue.handoffs.some((row) => row.id === data.handoff && row.mine);
      const news = data.speaker === "borrower" && data.kind === "message" && mine;
      if (news && data.handoff !== openId) {
        unread.add(data.handoff);
        draw();
      }
      if (judged) gathering ||= setTimeout(load, GATHER_MS);
    }
    if (name === "queue") gathering ||= setTimeout(load, GATHER_MS);
    return true;
  }

  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || copilot?.key(event)) return;
    if (!event.altKey || event.ctrlKey || event.code !== "KeyN" || next.disabled) return;
    event.preventDefault();
    takeNext();
  });
  addEventListener("pagehide", () => {
    keep();
    life.abort();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  list.node.replaceChildren(skeleton());
  talk.show(null);
  await load();
  if (!queue) return;
  restore();
  list.start(life.signal);
  listen("/v1/desk/events", {
    after: queue.seq,
    headers: () => ({}),
    signal: life.signal,
    onEvent: receive,
    onProblem: async (problem) => {
      if (problem.status === 401) toSignIn();
      return problem.status >= 500 || problem.status === 429;
    },
    onConnected: (now) => {
      if (connected === now) return;
      connected = now;
      draw();
    },
  });
}

begin();
