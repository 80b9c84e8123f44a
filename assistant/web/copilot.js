/* Defines <zhunxin-copilot>: the copilot beside the conversation of another desk.

   Attributes: token (of staff), endpoint, locale, theme (light | dark), keys (Alt+1, 2, 3 and the
   others count on all of the page). Methods: show(transcript, options), sent(text), check(text),
   wrapUp(). Events: zhunxin-insert (detail: text, suggestion_id, variant), zhunxin-wrapped-up,
   zhunxin-token-expired. docs/copilot-embed.md tells how to use it. */

import { ZhunxinCopilot } from "./web/copilot-element.js";

if (!customElements.get("zhunxin-copilot")) {
  customElements.define("zhunxin-copilot", ZhunxinCopilot);
}
