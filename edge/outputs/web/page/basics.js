// What every part of the page uses.

import { emotionName } from "./words.js";

export const byId = (id) => document.getElementById(id);

/** A share of something that was counted: 100% is possible. */
export const percent = (share) => `${Math.round(share * 100)}%`;

/** How sure a network is: never 100%. */
export const confidence = (share) => percent(Math.min(0.99, share));

let colours = {};

/** The colours of the emotions, as the board has them. */
export function setColours(all) {
  colours = all;
}

export function hue(emotion) {
  return colours[emotion] || colours.uncertain || "";
}

/** Set an element's text only where it changes, so that screen readers announce changes alone. */
export function setText(element, text) {
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
  row.querySelector(".name").textContent = emotionName(label);
  row.style.setProperty("--hue", hue(label));
  return row;
}

/** Fill a row: the bar's length and its figure. */
export function fillBar(row, share, figure) {
  row.style.setProperty("--share", share.toFixed(3));
  row.classList.toggle("none", share < 0.005);
  setText(row.querySelector(".share"), figure);
}

/** Seconds in words: 45 s, 12 min, 3 h 20 min. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} d`;
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}
