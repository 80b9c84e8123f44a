/* Asking the server: one request, its server-sent events one by one. */

export const IDLE_MS = 45_000;

/** An answer other than a stream; `detail` is worded for the borrower. */
export class Problem extends Error {
  constructor(status, { title = "", detail = "", trace_id = "" }) {
    super(title || `status ${status}`);
    this.status = status;
    this.detail = detail;
    this.traceId = trace_id;
  }
}

/** Whom a token names, as far as can be told without proof; null where it names nobody. */
export function subjectOf(token) {
  try {
    const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(claims)).sub ?? null;
  } catch {
    return null;
  }
}

/** The event in one block of lines, or null for a comment that only keeps the line open. `id`: the
    number from which to read on after a break, where it has one. */
function parse(block) {
  let name = "message";
  let id = null;
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("id:")) id = Number(line.slice(3));
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { name, id, data: JSON.parse(data.join("\n")) } : null;
}

/** Yields the events of an answer that is a stream. heard: called whenever anything has come. */
export async function* eventsOf(response, heard) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    pending += decoder.decode(value, { stream: true });
    const blocks = pending.split(/\r?\n\r?\n/);
    pending = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
  }
}

/** Yields {name, data} for each event, in order.

    Throws Problem for an answer that is no stream, otherwise whatever broke the connection. The
    controller is aborted with the reason "idle" when nothing at all, not even a comment, has
    come for IDLE_MS. */
export async function* readAnswer(endpoint, token, body, controller) {
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort("idle"), IDLE_MS);
  };
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    heard();
    const response = await fetch(endpoint, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
    yield* eventsOf(response, heard);
  } finally {
    clearTimeout(timer);
  }
}
