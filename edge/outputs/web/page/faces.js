// Cards of faces, each with its scores as bars.

import { barRow, byId, hue, percent, say } from "./basics.js";

function newCard(labels) {
  const card = byId("face").content.firstElementChild.cloneNode(true);
  const rows = new Map();
  for (const label of labels) {
    rows.set(label, barRow(label));
    card.querySelector(".scores").append(rows.get(label));
  }
  return { card, rows };
}

function fillCard({ card, rows }, face) {
  say(card.querySelector("h3"), `Face ${face.id}`);
  say(card.querySelector(".said"), `${face.emotion} ${percent(face.confidence)}`);
  const best = Math.max(...Object.values(face.scores));
  for (const [label, share] of Object.entries(face.scores)) {
    const row = rows.get(label);
    row.style.setProperty("--share", share.toFixed(3));
    row.classList.toggle("best", share === best);
    say(row.querySelector(".share"), percent(share));
  }
  card.style.setProperty("--hue", hue(face.emotion));
  for (const axis of ["valence", "arousal"]) {
    const row = card.querySelector(`[data-axis="${axis}"]`);
    row.title = `${axis} ${face[axis].toFixed(2)}, from -1 to 1`;
    row.style.setProperty("--place", face[axis].toFixed(3));
  }
}

/** A list that shows one card for each face, kept in `parent`; the function takes the faces there are now. */
export function faceList(parent) {
  const cards = new Map();
  return (faces) => {
    const seen = new Set(faces.map((face) => face.id));
    for (const [id, { card }] of cards) {
      if (!seen.has(id)) {
        card.remove();
        cards.delete(id);
      }
    }
    for (const face of faces) {
      if (!cards.has(face.id)) {
        cards.set(face.id, newCard(Object.keys(face.scores)));
        parent.append(cards.get(face.id).card);
      }
      fillCard(cards.get(face.id), face);
    }
  };
}
