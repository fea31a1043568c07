// The last minute: a strip of emotions over the lines of valence and arousal.

import { byId, hue, made, percent, shape } from "./basics.js";
import { emotionName, heading, word } from "./words.js";

const SECONDS = 60;
const DRAW_MS = 500;
const GAP_SECONDS = 1.5;
const STRIP = 30;
const MIDDLE = STRIP + 38;
const HALF = 30;
let samples = [];
let drawn = 0;

/** Begin with what the board remembers: rows of seconds ago, emotion, valence, arousal. */
export function beginMinute(rows) {
  const now = performance.now() / 1000;
  samples = rows.map(([ago, emotion, valence, arousal]) => ({ at: now - ago, emotion, valence, arousal }));
  draw(now);
}

/** One more moment; face: the largest, or undefined. */
export function addMoment(face) {
  const at = performance.now() / 1000;
  samples.push({ at, emotion: face ? face.emotion : null, valence: face?.valence ?? null, arousal: face?.arousal ?? null });
  if (at - drawn >= DRAW_MS / 1000) draw(at);
}

const across = (at, now) => (1 - (now - at) / SECONDS) * 600;

/** Neighbouring moments that have the same key, as [first, last]. */
function runs(key) {
  const found = [];
  for (const [index, sample] of samples.entries()) {
    const last = found.at(-1);
    const before = samples[index - 1];
    if (last && key(before) === key(sample) && sample.at - before.at < GAP_SECONDS) last[1] = sample;
    else {
      if (last && sample.at - before.at < GAP_SECONDS) last[1] = sample;
      found.push([sample, sample]);
    }
  }
  return found;
}

function line(axis, now) {
  let path = "";
  let before = null;
  for (const sample of samples) {
    if (sample[axis] !== null && sample.emotion !== null) {
      const joined = before && before.emotion !== null && before[axis] !== null && sample.at - before.at < GAP_SECONDS;
      path += `${joined ? "L" : "M"}${across(sample.at, now).toFixed(1)} ${(MIDDLE - sample[axis] * HALF).toFixed(1)}`;
    }
    before = sample;
  }
  const element = shape("path", { d: path });
  element.classList.add(axis);
  return element;
}

function shares() {
  const counts = new Map();
  for (const { emotion } of samples) if (emotion) counts.set(emotion, (counts.get(emotion) || 0) + 1);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([emotion, count]) => [emotion, percent(count / total)]);
}

function legendItem(text, colour, name = "") {
  const item = made("li", "", document.createElement("i"), text);
  if (name) item.className = name;
  if (colour) item.style.setProperty("--hue", colour);
  return item;
}

function draw(now) {
  drawn = now;
  samples = samples.filter((sample) => now - sample.at < SECONDS + 1);
  const marks = runs((sample) => sample.emotion)
    .filter(([first]) => first.emotion)
    .map(([first, last]) => {
      const x = across(first.at, now);
      const width = Math.max(1, across(last.at, now) - x);
      return shape("rect", { x: x.toFixed(1), y: 0, width: width.toFixed(1), height: STRIP - 8 }, hue(first.emotion));
    });
  const grid = [-1, 0, 1].map((value) => shape("line", { x1: 0, x2: 600, y1: MIDDLE - value * HALF, y2: MIDDLE - value * HALF }));
  byId("minute").replaceChildren(...marks, ...grid, line("arousal", now), line("valence", now));
  const told = shares();
  const words = told.map(([emotion, share]) => `${emotionName(emotion)} ${share}`).join(", ");
  byId("minute").setAttribute("aria-label", words ? `${word("last_minute")}: ${words}` : word("nobody"));
  byId("minute-legend").replaceChildren(
    ...told.slice(0, 4).map(([emotion, share]) => legendItem(`${emotionName(emotion)} ${share}`, hue(emotion))),
    legendItem(`${heading("valence")} (${word("unpleasant")} – ${word("pleasant")})`, "", "line valence"),
    legendItem(`${heading("arousal")} (${word("calm")} – ${word("excited")})`, "", "line arousal"),
  );
}
