/* The customer as one's role may see them: a line, and all of it when it is opened. */

import { badge, tried } from "./copilot-kit.js";
import { build } from "./widget-dom.js";
import { longDate } from "./widget-strings.js";

export function cardView(host) {
  const { t } = host;
  const line = build("summary", {}, t("card"));
  const body = build("div", { class: "card-body" });
  const node = build("details", { class: "customer" }, line, body);
  const day = (iso) => longDate(iso, host.locale);

  function row(key, ...said) {
    return build("div", {}, build("dt", {}, t(`card.${key}`)), build("dd", {}, ...said));
  }

  function loan(one) {
    const late = one.overdue_days > 0;
    return build(
      "li",
      {},
      build("p", { class: "row" }, build("strong", {}, one.product), badge(late ? "failed" : "plain", t(`loan.${one.state}`))),
      build(
        "dl",
        { class: "pairs" },
        row("principal", one.principal),
        row("outstanding", one.outstanding),
        row("rate", one.annual_rate),
        row("contract", day(one.contract_date)),
        one.next_due_on ? row("next_due", `${day(one.next_due_on)} ${one.next_due}`) : "",
        late ? row("arrears", `${one.arrears} (${t("days", { count: one.overdue_days })})`) : "",
      ),
    );
  }

  function headline(card) {
    const late = card.loans.find((one) => one.overdue_days > 0);
    const due = card.loans.find((one) => one.next_due_on);
    const told = late
      ? badge("failed", t("card.late", { days: late.overdue_days, amount: late.arrears }))
      : due
        ? badge("plain", t("card.due", { day: due.next_due_on.slice(5), amount: due.next_due }))
        : badge("plain", t("card.no_loan"));
    line.replaceChildren(build("strong", {}, card.name), build("span", { class: "figures" }, card.phone), told);
  }

  function draw(card) {
    if (card.note) {
      line.replaceChildren(badge("stale", t(card.verified ? "card.verified" : "card.unverified")), build("span", { class: "small" }, card.note));
      body.replaceChildren(build("p", { class: "small" }, card.note));
      return;
    }
    headline(card);
    body.replaceChildren(
      build(
        "dl",
        { class: "pairs" },
        row("id", card.customer_id),
        row("birth", card.birth),
        card.since ? row("since", day(card.since)) : "",
        card.student ? row("student", t("yes")) : "",
      ),
      build("ul", { class: "loans" }, ...card.loans.map(loan)),
      card.coupons.length
        ? build("p", { class: "small" }, `${t("card.coupons")}: `, card.coupons.map((one) => `${t(`coupon.${one.kind}`)} ${one.value} (${one.product}, ${t("until", { day: one.valid_to })})`).join("; "))
        : "",
      card.contacts.length
        ? build("p", { class: "small" }, `${t("card.contacts")}: `, card.contacts.map((one) => `${new Date(one.at).toLocaleDateString(host.locale, { timeZone: "Asia/Shanghai" })} ${one.what}`).join("; "))
        : "",
    );
  }

  return {
    node,
    load(body_, signal) {
      line.replaceChildren(t("card"));
      body.replaceChildren();
      return tried(host, line, async () => {
        const card = await host.call("/v1/copilot/card", { method: "POST", body: { ...body_, locale: host.locale }, signal });
        if (!signal.aborted) draw(card);
      });
    },
  };
}
