/* Scripts and macros, filled and checked before they are shown. */

import { badge, button, tried, verdictSign } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

export function scriptsView(host) {
  const { t } = host;
  const search = build("input", { type: "search", "aria-label": t("scripts.find"), placeholder: t("scripts.find") });
  const list = build("ul", { class: "scripts" });
  const node = build("div", { class: "tab-body" }, search, list);
  let scripts = [];

  function insert(script) {
    host.insert({ text: script.text, suggestion_id: "", variant: "script" });
  }

  function item(script) {
    return build(
      "li",
      { "data-script": script.id },
      build(
        "div",
        { class: "between" },
        build("span", { class: "row" }, build("strong", {}, script.title), build("kbd", {}, script.macro)),
        script.text ? button(t("insert"), { class: "plain small-button", "aria-label": `${t("insert")} ${script.title}` }, () => insert(script)) : "",
      ),
      build("p", { class: "small" }, script.use),
      script.text ? build("p", { class: "words" }, script.text) : "",
      script.missing.length ? build("p", { class: "row small" }, t("scripts.missing"), ...script.missing.map((name) => badge("stale", t(`variable.${name}`)))) : "",
      script.verdict && script.verdict !== "pass" ? verdictSign(host, script) : "",
    );
  }

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const found = scripts.filter((one) => [one.title, one.use, one.macro, one.text].some((text) => text.toLowerCase().includes(wanted)));
    list.replaceChildren(...found.map(item));
    if (!found.length) list.append(build("li", { class: "small" }, t("scripts.none")));
  }

  search.addEventListener("input", draw);
  return {
    node,
    focus: () => search.focus(),
    load(body, signal) {
      scripts = [];
      list.replaceChildren();
      return tried(host, list, async () => {
        const read = await host.call("/v1/copilot/scripts", { method: "POST", body, signal });
        if (signal.aborted) return;
        scripts = read.scripts;
        draw();
      });
    },
    /** Inserts one; false where it cannot be filled, and then it is shown why. */
    use(id) {
      const script = scripts.find((one) => one.id === id);
      if (script?.text) insert(script);
      return Boolean(script?.text);
    },
    show(id) {
      search.value = "";
      draw();
      list.querySelector(`[data-script="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "nearest" });
    },
    /** The text that a macro stands for; empty where there is none. */
    expand(macro) {
      return scripts.find((one) => one.macro === macro)?.text ?? "";
    },
  };
}
