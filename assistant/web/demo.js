/* The demo page's own part: questions on the page are put to the assistant. */

const chat = document.querySelector("zhunxin-chat");
const wide = matchMedia("(min-width: 1100px)");

// Where the page leaves a column for it, the assistant is open from the start.
chat.open = wide.matches;

for (const button of document.querySelectorAll("button[data-ask]")) {
  button.hidden = false;
  button.addEventListener("click", () => chat.ask(button.textContent.trim()));
}
