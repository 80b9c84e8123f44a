/* Where findings stand in a text that is still being typed. */

export const RANK = { warn: 1, fix: 2, block: 3 };
/** Up to so many characters a finding on all of a text is taken for a phrase, not for a lack. */
const PHRASE = 12;

/** The server counts characters, a text area UTF-16 units: an emoji is one there and two here. */
export function inUnits(findings, text) {
  if (!/[\ud800-\udfff]/.test(text)) return findings.map((finding) => ({ ...finding }));
  const starts = [];
  let at = 0;
  for (const character of text) {
    starts.push(at);
    at += character.length;
  }
  starts.push(at);
  return findings.map((finding) => ({ ...finding, span: finding.span.map((place) => starts[place]) }));
}

/** Whether a finding is about all of a text: something is missing, or wrong with how it is sent. */
export function isWhole({ span: [start, end] }, text) {
  return start === 0 && end === text.length && text.trim().length > PHRASE;
}

/** The spans after an edit: what stands before it stays, what stands behind it moves, and what it
    touches is gone until the server has looked again. */
export function moved(spans, before, after) {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const shift = after.length - before.length;
  return spans.flatMap((one) => {
    const [start, end] = one.span;
    if (end <= head) return [one];
    if (start >= before.length - tail) return [{ ...one, span: [start + shift, end + shift] }];
    return [];
  });
}

/** The text in pieces, each with the findings that cover it. */
export function pieces(text, spans) {
  const cuts = new Set([0, text.length]);
  for (const { span } of spans) span.forEach((place) => cuts.add(place));
  const places = [...cuts].sort((one, other) => one - other);
  return places.slice(1).map((end, at) => ({
    text: text.slice(places[at], end),
    covered: spans.filter(({ span }) => span[0] <= places[at] && end <= span[1]),
  }));
}
