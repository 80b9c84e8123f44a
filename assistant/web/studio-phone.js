/* A message as somebody will see it: on the phone, in a mail, as it is spoken, or on a wall. */

import { build, call, Failure, t } from "./knowledge-kit.js";
import { inUnits, pieces } from "./check-spans.js";
import { grouped } from "./studio-kit.js";

let lender = null;

/** Who sends it; asked for once. */
export function sender() {
  lender ??= call("/v1/lender").catch((error) => {
    if (!(error instanceof Failure)) throw error;
    lender = null;
    return { name: "", short_name: "" };
  });
  return lender;
}

/** Where a message's own words are, between what is put in from data. */
function bounds({ sample, opening, closing }) {
  const from = opening && sample.startsWith(opening) ? opening.length : 0;
  const to = closing && sample.endsWith(closing) ? Math.max(from, sample.length - closing.length) : sample.length;
  return [from, to];
}

/** The message in pieces: what comes from data is set apart, and findings are marked. */
function words(shown) {
  const [from, to] = bounds(shown);
  const { sample } = shown;
  const found = inUnits(shown.findings ?? [], sample).filter(
    ({ where, span, severity }) => (where ?? "text") === "text" && severity && span[1] - span[0] < sample.length,
  );
  const parts = [
    ["locked", 0, from],
    ["own", from, to],
    ["locked", to, sample.length],
  ];
  return parts
    .filter(([, start, end]) => end > start)
    .map(([kind, start, end]) => {
      const inside = found
        .filter(({ span }) => span[0] < end && span[1] > start)
        .map((one) => ({ ...one, span: [Math.max(one.span[0], start) - start, Math.min(one.span[1], end) - start] }));
      const nodes = pieces(sample.slice(start, end), inside).map(({ text, covered }) =>
        covered.length ? build("mark", { class: covered[0].severity, "data-rules": covered.map(({ rule }) => rule).join(" ") }, text) : text,
      );
      return build("span", { class: kind, title: kind === "locked" ? t("locked") : null }, ...nodes);
    });
}

/** How long it is, by the channel's own counting. */
export function lengthWords(length) {
  if (!length) return "";
  const values = { units: grouped(length.units), parts: length.parts, limit: grouped(length.limit), over: grouped(length.over) };
  return t(length.unit === "sms" ? "length.sms" : "length.characters", values);
}

/** shown: sample, sample_subject, opening, closing, findings, length, channel, locale. */
export function phone(shown, from) {
  const inside = SHAPES[shown.channel] ?? SHAPES.poster;
  const length = shown.length
    ? build("p", { class: shown.length.over ? "length over small" : "length small" }, lengthWords(shown.length))
    : "";
  return build(
    "figure",
    { class: `phone ${shown.channel}`, lang: shown.locale },
    build("div", { class: "screen" }, ...inside(shown, from)),
    build("figcaption", {}, length),
  );
}

const icon = () => build("img", { src: "/web/icon.svg", alt: "", width: "18", height: "18" });
const text = (shown) => build("p", { class: "words" }, ...words(shown));
const subject = (shown) => (shown.sample_subject ? build("p", { class: "subject" }, shown.sample_subject) : "");

const SHAPES = {
  sms: (shown) => [
    build("p", { class: "bar" }, t("phone.sms")),
    build("div", { class: "bubble" }, text(shown)),
    shown.length && shown.length.parts > 1 ? build("p", { class: "under" }, t("phone.parts", { parts: shown.length.parts })) : "",
  ],
  push: (shown, from) => [
    build("p", { class: "clock", "aria-hidden": "true" }, "9:41"),
    build("div", { class: "notice" }, build("p", { class: "app" }, icon(), from.short_name, build("span", { class: "when" }, t("phone.now"))), subject(shown), text(shown)),
  ],
  in_app: (shown, from) => [
    build("p", { class: "bar" }, from.short_name),
    build("div", { class: "offer" }, subject(shown), text(shown), build("p", { class: "go" }, t("phone.look"))),
  ],
  wechat: (shown, from) => [
    build("p", { class: "bar" }, from.short_name),
    build("div", { class: "template" }, subject(shown), text(shown), build("p", { class: "go" }, t("phone.details"), build("span", { "aria-hidden": "true" }, "›"))),
  ],
  email: (shown, from) => [
    build("p", { class: "line" }, build("span", { class: "small" }, t("phone.from")), from.name),
    build("p", { class: "line" }, build("span", { class: "small" }, t("phone.subject")), build("strong", {}, shown.sample_subject)),
    text(shown),
  ],
  call_script: (shown) => [
    build("p", { class: "bar" }, t("phone.call")),
    build("div", { class: "spoken" }, build("span", { class: "small" }, t("phone.agent")), text(shown)),
  ],
  poster: (shown, from) => [
    build("p", { class: "app" }, icon(), from.short_name),
    subject(shown),
    text(shown),
  ],
};
