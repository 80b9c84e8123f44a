/* The copilot beside the desk's own conversations. */

import { announce, call, Failure, headers, locale, toSignIn, untilLeft } from "./knowledge-kit.js";
import { copilotPane } from "./copilot-pane.js";
import { eventsOf } from "./widget-stream.js";
import { fill, loadStrings } from "./widget-strings.js";

const KEYS = [
  ["Ctrl+Enter", "keys.send"],
  ["Alt+N", "keys.next"],
];

async function* stream(path, body, signal) {
  const until = untilLeft(signal);
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", Accept: "text/event-stream" }),
      body: JSON.stringify(body),
      signal: until.signal,
    });
    if (response.status === 401) toSignIn();
    if (!response.ok) throw new Failure(response.status, await response.json().catch(() => ({})));
    yield* eventsOf(response, () => {});
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure(0, { code: "offline" });
  } finally {
    until.done();
  }
}

/** talk: () => {insert(made), wrapUp()} of the conversation that is open. */
export async function deskCopilot(talk) {
  const words = await loadStrings(locale, "copilot");
  let handoff = "";

  async function followed(told) {
    try {
      await call("/v1/copilot/events", { method: "POST", body: { handoff, ...told } });
    } catch (error) {
      // What was sent is kept beside the conversation all the same.
      if (!(error instanceof Failure)) throw error;
    }
  }

  const pane = copilotPane({
    t: (key, values) => fill(words[key] ?? key, values),
    locale,
    words,
    keysMore: KEYS,
    call,
    stream,
    isFault: (error) => error instanceof Failure,
    announce,
    insert: (made) => talk().insert(made),
    followed,
    wrapUp: () => talk().wrapUp(),
  });

  return {
    ...pane,
    show(id, mayWrite, spoken) {
      handoff = id;
      if (id) pane.open({ handoff: id, locale: spoken }, mayWrite);
      else pane.close();
    },
    /** A message was sent. origin: what of it was inserted, or null. */
    async sent(event, text, origin) {
      const suggestion_id = origin ? origin.suggestion_id : pane.suggestionId;
      const variant = origin?.variant ?? "";
      const edited = origin && origin.text !== text;
      pane.answered();
      if (edited) await followed({ kind: "edited", suggestion_id, variant, text });
      await followed({ kind: "sent", suggestion_id, variant, text, message_id: event.id });
    },
  };
}
