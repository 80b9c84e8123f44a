/* What a conversation that was closed is worth, each point with the words it was lost on. */

import { badge } from "./copilot-kit.js";
import { build } from "./widget-dom.js";

/** A turn may be long; which one it was is told by its beginning. */
const MOST_QUOTED = 40;
const SIGNS = { excellent: "current", good: "current", fair: "stale", poor: "failed" };

function quoted(text) {
  return text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}…` : text;
}

/** Nothing where the score cannot be had: the conversation is closed all the same. */
export async function showScore(host, place, conversationId) {
  const { t } = host;
  let score;
  try {
    const body = { conversation_id: conversationId, locale: host.locale };
    score = await host.call("/v1/copilot/score", { method: "POST", body });
  } catch (error) {
    if (!host.isFault(error)) throw error;
    return;
  }
  if (score.total === null) return;
  const lost = score.points.filter((point) => !point.met && point.lost > 0);
  place.replaceChildren(
    build(
      "section",
      { class: "score", "aria-label": t("score") },
      build("h2", {}, t("score"), " ", build("span", { class: "figures" }, String(score.total)), " ", badge(SIGNS[score.band] ?? "plain", t(`band.${score.band}`))),
      build("dl", {}, ...score.parts.map((part) => build("div", {}, build("dt", {}, part.title), build("dd", { class: "figures" }, `${part.points} / ${part.of}`)))),
      build(
        "ul",
        {},
        ...lost.map((point) =>
          build(
            "li",
            {},
            build("strong", { class: "figures" }, `−${point.lost}`),
            " ",
            point.why,
            point.text ? build("q", {}, quoted(point.text)) : "",
            point.right ? build("span", { class: "small" }, ` ${t("score.right", { value: point.right })}`) : "",
            point.suggestion ? build("p", { class: "small", lang: "zh-Hans" }, point.suggestion) : "",
          ),
        ),
      ),
      lost.length ? "" : build("p", { class: "small" }, t("score.nothing")),
    ),
  );
  host.announce(`${t("score")} ${score.total}`);
}
