/* The demo page's own part: questions on the page are put to the assistant. */

const chat = document.querySelector("zhunxin-chat");
const wide = matchMedia("(min-width: 1100px)");

// Where the page leaves a column for it, the assistant is open from the start.
chat.open = wide.matches;

for (const button of document.querySelectorAll("button[data-ask]")) {
  button.hidden = false;
  button.addEventListener("click", () => chat.ask(button.textContent.trim()));
}

/* In place of a lender's app: who one is can be chosen, and the server signs a token for it. */

const form = document.querySelector("form.who");
const who = form.querySelector("select");
const known = form.querySelector("output");

async function tokenFor(customer) {
  const response = await fetch("/v1/demo/tokens", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ customer_id: customer }),
  });
  if (!response.ok) throw new Error(`no token: status ${response.status}`);
  return (await response.json()).token;
}

/** Sets the token of whoever is chosen, unless somebody else was chosen meanwhile. */
async function signIn() {
  const customer = who.value;
  known.textContent = "";
  if (!customer) {
    chat.removeAttribute("token");
    return;
  }
  try {
    const token = await tokenFor(customer);
    if (who.value !== customer) return;
    chat.setAttribute("token", token);
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch("/v1/me", { headers });
    const me = await response.json();
    if (who.value === customer) known.textContent = response.ok ? me.name : me.detail;
  } catch {
    who.value = "";
    chat.removeAttribute("token");
  }
}

async function offerCustomers() {
  const response = await fetch("/v1/demo/customers").catch(() => null);
  if (!response?.ok) return;
  const { customers } = await response.json();
  for (const { id, name, label } of customers) {
    who.append(new Option(`${label["zh-Hans"]}（${name}）`, id));
  }
  form.hidden = false;
}

who.addEventListener("change", signIn);
form.addEventListener("submit", (event) => event.preventDefault());
chat.addEventListener("zhunxin-token-expired", signIn);
offerCustomers();
