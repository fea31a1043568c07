// Cards of faces, each with its scores as bars.

import { barRow, byId, confidence, fillBar, hue, setText } from "./basics.js";
import { looks, word } from "./words.js";

function newCard(labels) {
  const card = byId("face").content.firstElementChild.cloneNode(true);
  const rows = new Map();
  for (const label of labels) {
    rows.set(label, barRow(label));
    card.querySelector(".scores").append(rows.get(label));
  }
  return { card, rows };
}

function fillCard({ card, rows }, face, leads) {
  setText(card.querySelector("h3"), word("page_face", { number: face.id }));
  setText(card.querySelector(".said"), leads ? "" : looks(face.emotion));
  const best = Math.max(...Object.values(face.scores));
  for (const [label, share] of Object.entries(face.scores)) {
    const row = rows.get(label);
    fillBar(row, share, confidence(share));
    row.classList.toggle("best", share === best);
  }
  card.style.setProperty("--hue", hue(face.emotion));
  for (const axis of ["valence", "arousal"]) {
    const row = card.querySelector(`[data-axis="${axis}"]`);
    row.hidden = face[axis] === null;
    if (row.hidden) continue;
    row.title = `${word(axis)} ${face[axis].toFixed(2)}`;
    row.style.setProperty("--place", face[axis].toFixed(3));
  }
}

/**
 * A list that shows one card for each face, kept in `parent`. The function takes the faces there are now, and the id of
 * the one whose emotion is shown above the list already.
 */
export function faceList(parent) {
  const cards = new Map();
  return (faces, leader = null) => {
    const present = new Set(faces.map((face) => face.id));
    for (const [id, { card }] of cards) {
      if (!present.has(id)) {
        card.remove();
        cards.delete(id);
      }
    }
    for (const face of faces) {
      if (!cards.has(face.id)) {
        cards.set(face.id, newCard(Object.keys(face.scores)));
        parent.append(cards.get(face.id).card);
      }
      fillCard(cards.get(face.id), face, face.id === leader);
    }
  };
}
