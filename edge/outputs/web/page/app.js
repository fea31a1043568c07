// The connection to the board: its events, and the stream of pictures.

import { showHealth, showSettings, showToday } from "./board.js";
import { byId, hue, made, setColours, setText } from "./basics.js";
import { faceList } from "./faces.js";
import { addMoment, beginMinute } from "./minute.js";
import { takePictures } from "./picture.js";
import { offerWebcam } from "./webcam.js";
import { loadWords, looks, word } from "./words.js";

const RETRY_MS = 2000;
const TODAY_MS = 30000;
const RESIZE_MS = 400;

// The board tells a page by this name whether the page's own stream is still open.
const page = Math.random().toString(36).slice(2);
const showFaces = faceList(byId("faces"));
let about = null;
let state = "";
let events = null;
let stream = 0;
let streamWidth = 0;
let missing = 0;
let paused = false;
let retry = 0;
let resized = 0;

/** Pixels across of the picture on this screen. */
function wantedWidth() {
  return Math.ceil(byId("screen").clientWidth * Math.min(window.devicePixelRatio, 2));
}

function openStream() {
  missing = 0;
  if (paused || !about || !about.images) return;
  stream += 1;
  streamWidth = wantedWidth();
  byId("stream").src = `/stream.mjpg?width=${streamWidth}&page=${page}&n=${stream}`;
}

function closeStream() {
  byId("stream").removeAttribute("src");
}

/** What stands over the picture: why there is none now, or that it is paused here. */
function showGap(text) {
  byId("gap").hidden = text === "" && !paused;
  if (text || paused) setText(byId("gap"), text || word("page_paused"));
  document.body.classList.toggle("faded", text !== "");
}

function showState(kind, text) {
  byId("status").dataset.state = kind;
  setText(byId("status-text"), text);
}

/** The two lines about the scene: what the largest face looks like, and what else is in view. */
function sceneWords(face, faces) {
  if (state === "privacy") return [word("privacy"), word("camera_off")];
  if (state === "off") return [word("page_off"), word("page_not_looked")];
  if (state === "lost") return ["–", word("page_no_picture")];
  if (!face) return [word("nobody"), word("page_step")];
  const name = word("page_face", { number: face.id });
  return [looks(face.emotion), faces > 1 ? `${name}, ${word("page_more", { count: faces - 1 })}` : name];
}

let scene = null;

function showScene() {
  if (!scene) return;
  const seen = state === "running";
  const faces = seen ? scene.reading.faces : [];
  const face = faces.find((one) => one.id === scene.leader);
  const [first, second] = sceneWords(face, faces.length);
  setText(byId("emotion"), first);
  setText(byId("detail"), second);
  byId("now").style.setProperty("--hue", face ? hue(face.emotion) : "var(--line)");
  showFaces(faces, scene.leader);
}

function takeScene(told) {
  scene = told;
  // Between two reports of the state, a picture in which nobody looked for faces says so first.
  if (!told.analysed && state === "running") state = "off";
  if (told.analysed && state === "off") state = "running";
  byId("screen").style.setProperty("--aspect", (told.reading.width / told.reading.height).toFixed(4));
  showScene();
  addMoment(told.analysed ? told.reading.faces.find((one) => one.id === told.leader) : undefined);
}

const STATES = {
  running: ["live", "page_live"],
  off: ["off", "page_off"],
  privacy: ["off", "privacy"],
  lost: ["bad", "page_no_picture"],
};

function showStatus(status) {
  state = status.state;
  const [kind, key] = STATES[state];
  showState(kind, word(key));
  showNotice(status.statements);
  showGap(state === "lost" ? `${word("page_no_picture")}. ${word("page_retry")} (${status.problem})` : "");
  showScene();
  showStats(state === "running" ? status.stats : null, status.stats);
  showHealth(status);
  missing = status.streaming ? 0 : missing + 1;
  if (missing > 2) openStream();
}

function showNotice(statements) {
  const texts = statements.map(({ key, ...fields }) => word(key, fields));
  const [first, ...rest] = texts;
  const shown = texts.join(" ");
  if (byId("notice").textContent === shown) return;
  byId("notice").replaceChildren(made("strong", first), ` ${rest.join(" ")}`);
}

/** running: the figures while faces are looked for, else null: they would be those of a moment ago. */
function showStats(running, stats) {
  setText(byId("fps"), running ? `${running.fps.toFixed(1)} fps` : "–");
  const delay = running && "p50" in running.latency_ms ? `${Math.round(running.latency_ms.p50)} ms` : "–";
  setText(byId("latency"), delay);
  const celsius = stats ? stats.temperature : null;
  byId("temperature-row").hidden = celsius === null;
  if (celsius !== null) setText(byId("temperature"), `${Math.round(celsius)} °C${stats.throttled ? " ↓" : ""}`);
}

function showAbout(told) {
  about = told;
  setColours(about.colours);
  setText(byId("device"), about.device);
  document.title = about.device ? `${about.device} – Emotion Edge` : "Emotion Edge";
  byId("stage").hidden = !about.images;
  document.body.classList.toggle("blind", !about.images);
  byId("listen").hidden = about.topics.length === 0;
  byId("topics").replaceChildren(...about.topics.map((topic) => made("li", "", made("code", topic))));
  if (about.reads) takePictures();
  if (about.webcam) offerWebcam();
  byId("today").hidden = !about.recorded;
  if (about.recorded) showToday();
  if (about.settings) showSettings();
}

function disconnect() {
  clearTimeout(retry);
  if (events) events.close();
  events = null;
  closeStream();
}

function showLost() {
  disconnect();
  showState("bad", word("page_lost"));
  byId("notice").replaceChildren(made("strong", word("page_lost")), `. ${word("page_unknown")} ${word("page_retry")}`);
  state = "lost";
  showScene();
  showStats(null, null);
  showGap(`${word("page_lost")}. ${word("page_retry")}`);
  retry = setTimeout(connect, RETRY_MS);
}

async function connect() {
  disconnect();
  try {
    await loadWords();
  } catch {
    retry = setTimeout(connect, RETRY_MS);
    return;
  }
  if (document.hidden) return;
  disconnect();
  events = new EventSource(`/events?page=${page}`);
  events.addEventListener("about", (event) => {
    showAbout(JSON.parse(event.data));
    openStream();
  });
  events.addEventListener("minute", (event) => beginMinute(JSON.parse(event.data)));
  events.addEventListener("scene", (event) => takeScene(JSON.parse(event.data)));
  events.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  events.onerror = showLost;
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), word(paused ? "page_resume" : "page_pause"));
  if (paused) closeStream();
  else openStream();
  byId("gap").hidden = !paused;
  if (paused) setText(byId("gap"), word("page_paused"));
});

// A stream that broke leaves no broken picture behind; the next status opens it again.
byId("stream").addEventListener("error", closeStream);

// Another size of the screen may want another size of the picture: a larger one soon, a smaller one if by much.
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    const wanted = wantedWidth();
    if (events && streamWidth && (wanted > streamWidth * 1.1 || wanted < streamWidth / 1.5)) openStream();
  }, RESIZE_MS);
}).observe(byId("screen"));

setInterval(() => events && about && about.recorded && showToday(), TODAY_MS);

// A browser opens only six connections to one address: a page that nobody sees lets go of its two.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
if (!document.hidden) connect();
