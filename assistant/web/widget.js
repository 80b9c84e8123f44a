/* Defines <zhunxin-chat>.

   Attributes: token (the borrower's, signed by the host app), locale, endpoint, theme
   (light | dark), open. Method: ask(text). Event: zhunxin-token-expired, when the token is no
   longer taken; a new one set as the attribute within ten seconds is used for the question that
   waits, and the conversation goes on. Children are shown until the widget is ready, and stay if
   it cannot load: put the hotline there. */

import { ZhunxinChat } from "./web/widget-chat.js";

if (!customElements.get("zhunxin-chat")) {
  customElements.define("zhunxin-chat", ZhunxinChat);
}
