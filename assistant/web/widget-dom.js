/* Building nodes. Text only ever becomes a text node. */

/** One element; attributes that are false or missing are left out. */
export function build(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** One element of a drawing; its text, if it has any, is a text node. */
export function drawing(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

const PATHS = {
  chat: "M4 5h16v11H9l-5 4z M8 9h8 M8 12.5h5",
  up: "M7 11v9H4v-9z M7 11l4-7c1.5 0 2.3 1 2 2.6L12.4 10H19a1.8 1.8 0 0 1 1.7 2.3l-1.8 6.2A2 2 0 0 1 17 20H7",
  down: "M7 13V4H4v9z M7 13l4 7c1.5 0 2.3-1 2-2.6L12.4 14H19a1.8 1.8 0 0 0 1.7-2.3l-1.8-6.2A2 2 0 0 0 17 4H7",
  close: "M6 6l12 12 M18 6L6 18",
  fresh: "M4 5h16v11H9l-5 4z M12 7.5v6 M9 10.5h6",
  more: "M5 12h.01 M12 12h.01 M19 12h.01",
  phone:
    "M6 3h3l2 5-2.5 1.5a11 11 0 0 0 6 6L16 13l5 2v3a3 3 0 0 1-3 3A15 15 0 0 1 3 6a3 3 0 0 1 3-3z",
  send: "M12 20V5 M5 12l7-7 7 7",
  stop: "M6 6h12v12H6z",
};

/** A line drawing beside, or instead of, a control's words. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
