/* Whether a reply helped: a thumb, then if one likes a reason and a few words. */

import { build, icon } from "./widget-dom.js";

const REASON = "feedback.reason.";
/** As the server takes them, in characters. */
const MAX_COMMENT = 500;

/** The bar below one reply.

    ids: {record_id, conversation_id}. host: {endpoint, token, strings, say, locale}, how it reaches
    the rest of the widget; the last four are functions, asked when they are needed. Reasons are
    offered as the strings name them. */
export function feedbackBar(ids, host) {
  const told = build("p", { class: "small told", role: "status" });
  const up = thumb("up");
  const down = thumb("down");
  const bar = build(
    "div",
    // Not read out with the reply: who listens finds it below.
    { class: "feedback", role: "group", "data-label": "feedback.label", "aria-live": "off" },
    build("span", { class: "small", "data-say": "feedback.label", "aria-hidden": "true" }),
    up,
    down,
    told,
  );
  let form = null;

  const tell = (key) => {
    told.dataset.say = key;
    host.say(told);
  };

  const press = (useful) => {
    up.setAttribute("aria-pressed", String(useful === true));
    down.setAttribute("aria-pressed", String(useful === false));
  };

  async function choose(useful) {
    const before = up.ariaPressed === "true" ? true : down.ariaPressed === "true" ? false : null;
    press(useful);
    if (!(await send(ids, { useful }, host))) {
      press(before);
      tell("feedback.failed");
      return;
    }
    tell("feedback.thanks");
    form?.remove();
    form = more(useful, host, async (said) => {
      if (!(await send(ids, { useful, ...said }, host))) return tell("feedback.failed");
      const inside = form.contains(form.getRootNode().activeElement);
      form.remove();
      form = null;
      tell("feedback.sent");
      if (inside) (useful ? up : down).focus();
    });
    bar.append(form);
    host.say(form);
    form.scrollIntoView({ block: "nearest" });
  }

  up.addEventListener("click", () => choose(true));
  down.addEventListener("click", () => choose(false));
  return bar;
}

function thumb(name) {
  return build(
    "button",
    { type: "button", class: "icon", "data-label": `feedback.${name}`, "aria-pressed": "false" },
    icon(name),
  );
}

/** Why not, and a few words; neither has to be given. */
function more(useful, host, submit) {
  const form = build("form", { class: "more" });
  if (!useful) {
    const reasons = build("fieldset", {}, build("legend", { class: "small", "data-say": "feedback.why" }));
    for (const key of Object.keys(host.strings()).filter((name) => name.startsWith(REASON))) {
      const choice = build("input", { type: "radio", name: "reason", value: key.slice(REASON.length) });
      reasons.append(build("label", {}, choice, build("span", { "data-say": key })));
    }
    form.append(reasons);
  }
  const words = build("textarea", {
    name: "comment",
    rows: "2",
    maxlength: String(MAX_COMMENT),
    "data-label": "feedback.comment",
    "data-hint": "feedback.comment",
  });
  const send = build("button", { class: "plain", "data-say": "feedback.send" });
  form.append(words, send);
  // A disabled button would lose the focus of whoever pressed it.
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    const reason = new FormData(form).get("reason") ?? "";
    await submit({ reason, comment: words.value.trim() });
    busy = false;
  });
  return form;
}

/** Whether the server took it. */
async function send(ids, said, host) {
  const headers = { "Content-Type": "application/json" };
  const token = host.token();
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const response = await fetch(new URL("feedback", host.endpoint), {
      method: "POST",
      headers,
      body: JSON.stringify({ ...ids, ...said, locale: host.locale() }),
    });
    return response.ok;
  } catch {
    return false;
  }
}
