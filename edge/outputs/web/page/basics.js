// What every part of the page uses.

export const byId = (id) => document.getElementById(id);
export const percent = (share) => `${Math.round(share * 100)}%`;

let colours = {};

/** The colours of the emotions, as the daemon has them. */
export function setColours(all) {
  colours = all;
}

export function hue(emotion) {
  return colours[emotion] || colours.uncertain || "";
}

/** Write text only where it changes, so that screen readers hear changes alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with text in it, and children after the text. */
export function made(name, text = "", ...children) {
  const element = document.createElement(name);
  element.textContent = text;
  element.append(...children);
  return element;
}

/** A shape in an SVG with these attributes, filled with the colour where one is given. */
export function shape(name, attributes, fill = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (fill) element.style.fill = fill;
  return element;
}

/** One row of a list of bars. */
export function barRow(label) {
  const row = byId("score").content.firstElementChild.cloneNode(true);
  row.querySelector(".name").textContent = label;
  row.style.setProperty("--hue", hue(label));
  return row;
}

/** Seconds in words: 45 s, 12 min, 3 h 20 min. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}
