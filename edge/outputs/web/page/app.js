// The connection to the daemon: its events, and the stream of pictures.

import { showHealth, showSettings, showToday } from "./board.js";
import { byId, hue, percent, say, setColours } from "./basics.js";
import { faceList } from "./faces.js";
import { addMoment, beginMinute } from "./minute.js";
import { takePictures } from "./picture.js";

const RETRY_MS = 2000;
const TODAY_MS = 30000;
const RESIZE_MS = 400;

// The daemon tells a page by this name whether the page's own stream is still open.
const page = Math.random().toString(36).slice(2);
const showFaces = faceList(byId("faces"));
let about = null;
let camera = "";
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

function showProblem(text) {
  const bad = text !== "";
  byId("gap").hidden = !bad && !paused;
  if (bad || paused) say(byId("gap"), bad ? text : "Paused. The emotions go on.");
  document.body.classList.toggle("faded", bad);
}

function showState(state, text) {
  byId("status").dataset.state = state;
  say(byId("status-text"), text);
}

/** The two lines about the scene: what it shows, and how sure that is. */
function sceneWords(face, faces, analysed) {
  if (!analysed) return ["Switched off", camera.startsWith("off") ? `The camera is ${camera}` : "Faces are not looked for"];
  if (!face) return ["Nobody in view", "Step in front of the camera"];
  const more = faces > 1 ? `, and ${faces - 1} more in view` : "";
  return [face.emotion, `${percent(face.confidence)} sure, face ${face.id}${more}`];
}

function showScene({ leader, analysed, reading }) {
  const face = reading.faces.find((one) => one.id === leader);
  const [emotion, sure] = sceneWords(face, reading.faces.length, analysed);
  say(byId("emotion"), emotion);
  say(byId("sure"), sure);
  say(byId("running"), analysed ? "Emotion recognition is running." : "Emotion recognition is switched off.");
  byId("now").style.setProperty("--hue", face ? hue(face.emotion) : "var(--line)");
  byId("screen").style.setProperty("--aspect", (reading.width / reading.height).toFixed(4));
  showFaces(reading.faces);
  addMoment(face);
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
  if (status.stats) {
    camera = status.stats.camera;
    showStats(status.stats);
  }
  showHealth(status);
  missing = status.streaming ? 0 : missing + 1;
  if (missing > 2) openStream();
}

function showStats(stats) {
  const held = stats.throttled ? ", slowed down" : "";
  say(byId("fps"), `${stats.fps.toFixed(1)} fps`);
  say(byId("latency"), "p50" in stats.latency_ms ? `${Math.round(stats.latency_ms.p50)} ms` : "–");
  say(byId("temperature"), stats.temperature === null ? "no sensor" : `${Math.round(stats.temperature)} °C${held}`);
}

function showAbout(told) {
  about = told;
  setColours(about.colours);
  say(byId("device"), about.device);
  document.title = about.device ? `${about.device} – Emotion Edge` : "Emotion Edge";
  byId("recorded").hidden = !about.recorded;
  if (about.open) say(byId("kept"), "Pictures go to this page alone, and none is stored.");
  byId("stage").hidden = !about.images;
  document.body.classList.toggle("blind", !about.images);
  byId("listen").hidden = about.topics.length === 0;
  byId("topics").replaceChildren(
    ...about.topics.map((topic) => {
      const item = document.createElement("li");
      item.append(document.createElement("code"));
      item.firstChild.textContent = topic;
      return item;
    }),
  );
  if (about.reads) takePictures();
  showToday(about.recorded);
  if (!about.settings) return;
  showSettings().then((sends) => {
    const how = {
      "emotion.server": "Faces leave this board for a server that says what they show",
      "mqtt.snapshots": "Pictures leave this board where somebody asks for one over MQTT",
    };
    if (sends.length) say(byId("kept"), `${sends.map((name) => how[name]).join(". ")}; none is stored.`);
  });
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
  events.addEventListener("minute", (event) => beginMinute(JSON.parse(event.data)));
  events.addEventListener("scene", (event) => showScene(JSON.parse(event.data)));
  events.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  events.onerror = () => {
    disconnect();
    showState("bad", "Connection lost, trying again");
    showProblem("The connection to Emotion Edge is lost. The page tries again by itself.");
    retry = setTimeout(connect, RETRY_MS);
  };
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(byId("pause"), paused ? "Go on" : "Pause");
  if (paused) closeStream();
  else openStream();
  byId("gap").hidden = !paused;
  if (paused) say(byId("gap"), "Paused. The emotions go on.");
});

// Another size of the screen may want another size of the picture: a larger one soon, a smaller one if by much.
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    const wanted = wantedWidth();
    if (events && streamWidth && (wanted > streamWidth * 1.1 || wanted < streamWidth / 1.5)) openStream();
  }, RESIZE_MS);
}).observe(byId("screen"));

setInterval(() => events && about && about.recorded && showToday(true), TODAY_MS);

// A browser opens only six connections to one address: a page that nobody sees lets go of its two.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
if (!document.hidden) connect();
