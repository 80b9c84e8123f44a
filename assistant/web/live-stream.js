/* A stream that goes on for as long as somebody listens: after a break it is read on from the last
   event, so that nothing is lost and nothing comes twice. */

import { Problem, eventsOf } from "./widget-stream.js";

/** Longer than the server is ever silent. */
const IDLE_MS = 30_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

/** Listens until `signal` is aborted, `onEvent` answers false, or `onProblem` does.

    headers: makes those of each request. onEvent({name, id, data}). onProblem(problem): what the
    server answered instead of a stream; true to try again. onConnected(whether). */
export async function listen(address, { after = 0, headers, signal, onEvent, onProblem, onConnected }) {
  let last = after;
  let wait = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    const line = new AbortController();
    const cut = () => line.abort();
    signal.addEventListener("abort", cut);
    let timer = 0;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(cut, IDLE_MS);
    };
    try {
      heard();
      const url = new URL(address, location.href);
      url.searchParams.set("after", last);
      const response = await fetch(url, { headers: headers(), signal: line.signal });
      if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
      onConnected(true);
      for await (const event of eventsOf(response, heard)) {
        wait = FIRST_PAUSE_MS;
        if (event.id !== null) {
          if (event.id <= last) continue;
          last = event.id;
        }
        if (onEvent(event) === false) return;
      }
    } catch (fault) {
      if (signal.aborted) return;
      if (fault instanceof Problem && !(await onProblem(fault))) return;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cut);
      line.abort();
    }
    if (signal.aborted) return;
    onConnected(false);
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_PAUSE_MS);
  }
}

/** An id for a message, by which the server knows one that is sent again. */
export function messageId() {
  return crypto.randomUUID?.().replaceAll("-", "") ?? hex(crypto.getRandomValues(new Uint8Array(16)));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
