/* What was promised to borrowers, and by them, and is open. */

import { badge, button, tried } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

export function tasksView(host) {
  const { t } = host;
  const list = build("ul", { class: "tasks" });
  const node = build("div", { class: "tab-body" }, list);

  function end(task, state) {
    return () =>
      tried(host, list, async () => draw(await host.call(`/v1/copilot/tasks/${task.id}`, { method: "POST", body: { state } })));
  }

  function draw({ tasks }) {
    const today = new Date().toLocaleDateString("sv", { timeZone: "Asia/Shanghai" });
    list.replaceChildren(
      ...tasks.map((task) =>
        build(
          "li",
          {},
          build(
            "p",
            { class: "row" },
            task.due_on ? badge(task.due_on < today ? "failed" : "plain", task.due_on) : badge("plain", t("task.no_day")),
            build("strong", {}, `${t(`by.${task.by}`)} · ${t(`promise.${task.kind}`)}`),
            task.amount_cny ? build("span", { class: "figures" }, `${task.amount_cny} ${t("yuan")}`) : "",
          ),
          build("p", { class: "words" }, task.text),
          build(
            "p",
            { class: "row" },
            button(t("task.done"), { class: "plain small-button" }, end(task, "done")),
            button(t("task.drop"), { class: "quiet" }, end(task, "dropped")),
          ),
        ),
      ),
    );
    if (!tasks.length) list.append(build("li", { class: "small" }, t("task.none")));
  }

  return {
    node,
    focus: () => {},
    load: () => tried(host, list, async () => draw(await host.call("/v1/copilot/tasks"))),
  };
}
