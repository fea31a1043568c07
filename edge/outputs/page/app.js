"use strict";

const RETRY_MS = 2000;
const byId = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)}%`;

// The daemon tells a page by this name whether the page's own stream is still open.
const page = Math.random().toString(36).slice(2);
const cards = new Map();
let colours = {};
let events = null;
let stream = 0;
let missing = 0;
let retry = 0;

/** Write text only where it changes, so that screen readers hear changes alone. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function hue(emotion) {
  return colours[emotion] || colours.uncertain;
}

function openStream() {
  missing = 0;
  stream += 1;
  byId("stream").src = `/stream.mjpg?page=${page}&n=${stream}`;
}

function closeStream() {
  byId("stream").removeAttribute("src");
}

function showProblem(text) {
  const bad = text !== "";
  byId("gap").hidden = !bad;
  if (bad) say(byId("gap"), text);
  document.body.classList.toggle("faded", bad);
}

function showState(state, text) {
  byId("status").dataset.state = state;
  say(byId("status-text"), text);
}

function newCard(labels) {
  const card = byId("face").content.firstElementChild.cloneNode(true);
  const rows = new Map();
  for (const label of labels) {
    const row = byId("score").content.firstElementChild.cloneNode(true);
    row.querySelector(".name").textContent = label;
    row.style.setProperty("--hue", hue(label));
    card.querySelector(".scores").append(row);
    rows.set(label, row);
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

function showFaces(faces) {
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
      byId("faces").append(cards.get(face.id).card);
    }
    fillCard(cards.get(face.id), face);
  }
}

function showScene({ leader, reading }) {
  const face = reading.faces.find((one) => one.id === leader);
  say(byId("emotion"), face ? face.emotion : "Nobody in view");
  const others = reading.faces.length - 1;
  const more = others > 0 ? `, and ${others} more in view` : "";
  say(byId("sure"), face ? `${percent(face.confidence)} sure, face ${face.id}${more}` : "Step in front of the camera");
  byId("now").style.setProperty("--hue", face ? hue(face.emotion) : "var(--line)");
  byId("screen").style.aspectRatio = `${reading.width} / ${reading.height}`;
  showFaces(reading.faces);
}

function showStatus(status) {
  if (status.live) {
    showState("live", "Live");
    showProblem("");
  } else {
    const words = status.problem.charAt(0).toUpperCase() + status.problem.slice(1);
    showState("bad", words);
    showProblem(`${words}. It comes back by itself.`);
  }
  if (status.stats) showStats(status.stats);
  missing = status.streaming ? 0 : missing + 1;
  if (missing > 2) openStream();
}

function showStats(stats) {
  const held = stats.throttled ? ", slowed down" : "";
  say(byId("fps"), `${stats.fps.toFixed(1)} frames a second`);
  say(byId("latency"), "p50" in stats.latency_ms ? `${Math.round(stats.latency_ms.p50)} ms` : "–");
  say(byId("temperature"), stats.temperature === null ? "no sensor" : `${Math.round(stats.temperature)} °C${held}`);
  say(byId("model"), `${stats.model}, ${stats.interpreter}`);
}

function showAbout(about) {
  colours = about.colours;
  say(byId("device"), about.device);
  document.title = about.device ? `${about.device} – Emotion Edge` : "Emotion Edge";
  byId("recorded").hidden = !about.recorded;
  byId("listen").hidden = about.topics.length === 0;
  byId("topics").replaceChildren(
    ...about.topics.map((topic) => {
      const item = document.createElement("li");
      item.append(document.createElement("code"));
      item.firstChild.textContent = topic;
      return item;
    }),
  );
}

function disconnect() {
  clearTimeout(retry);
  if (events) events.close();
  events = null;
  closeStream();
}

function connect() {
  disconnect();
  events = new EventSource(`/events?page=${page}`);
  events.addEventListener("about", (event) => {
    showAbout(JSON.parse(event.data));
    openStream();
  });
  events.addEventListener("scene", (event) => showScene(JSON.parse(event.data)));
  events.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  events.onerror = () => {
    disconnect();
    showState("bad", "Connection lost, trying again");
    showProblem("The connection to Emotion Edge is lost. The page tries again by itself.");
    retry = setTimeout(connect, RETRY_MS);
  };
}

// A browser opens only six connections to one address: a page that nobody sees lets go of its two.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
if (!document.hidden) connect();
