// The camera of the browser's own device: frames go to the board, one at a time, and come back as what was found.

import { byId, hue, setText } from "./basics.js";
import { faceList } from "./faces.js";
import { foundWords } from "./picture.js";
import { address, emotionName, word } from "./words.js";

const WIDTH = 640;
const EVERY_MS = 120;
const QUALITY = 0.8;

const session = Math.random().toString(36).slice(2);
const video = document.createElement("video");
video.muted = true;
video.playsInline = true;
const sent = document.createElement("canvas");
let showFaces = null;
let media = null;

/** Offer the button, where a browser gives its camera to a page at all. */
export function offerWebcam() {
  if (!byId("webcam").hidden) return;
  byId("webcam").hidden = false;
  showFaces = faceList(byId("webcam-faces"));
  if (!window.isSecureContext || !navigator.mediaDevices) {
    byId("webcam-switch").disabled = true;
    setText(byId("webcam-answer"), word("page_webcam_https"));
    return;
  }
  byId("webcam-switch").addEventListener("click", () => (media ? stop("") : start()));
  document.addEventListener("visibilitychange", () => document.hidden && media && stop(""));
}

async function start() {
  setText(byId("webcam-answer"), "");
  try {
    media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: WIDTH } }, audio: false });
  } catch (error) {
    setText(byId("webcam-answer"), `${word("page_webcam_none")} (${error.name})`);
    return;
  }
  video.srcObject = media;
  await video.play();
  byId("webcam-switch").setAttribute("aria-pressed", "true");
  setText(byId("webcam-switch"), word("page_webcam_stop"));
  byId("webcam-shown").hidden = false;
  for (const track of media.getTracks()) track.addEventListener("ended", () => stop(""));
  run();
}

function stop(text) {
  if (media) for (const track of media.getTracks()) track.stop();
  media = null;
  video.srcObject = null;
  sent.width = 0;
  byId("webcam-picture").width = 0;
  byId("webcam-shown").hidden = true;
  byId("webcam-switch").setAttribute("aria-pressed", "false");
  setText(byId("webcam-switch"), word("page_webcam_start"));
  setText(byId("webcam-answer"), text);
  showFaces([]);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function run() {
  while (media) {
    const began = performance.now();
    sent.width = Math.min(WIDTH, video.videoWidth);
    sent.height = Math.round((video.videoHeight * sent.width) / video.videoWidth);
    sent.getContext("2d").drawImage(video, 0, 0, sent.width, sent.height);
    const body = await new Promise((resolve) => sent.toBlob(resolve, "image/jpeg", QUALITY));
    let answer;
    try {
      answer = await fetch(address(`/webcam?session=${session}`), { method: "POST", body });
    } catch {
      if (media) stop(word("page_unreachable"));
      return;
    }
    if (!media) return;
    if (answer.ok) show(await answer.json());
    else if (answer.status !== 429) {
      stop((await answer.text()).trim().replace(/^\d+ /, ""));
      return;
    }
    await pause(Math.max(0, EVERY_MS - (performance.now() - began)));
  }
}

/** The frame that was read, with a box and a word at each face. */
function show(reading) {
  if (!media) return;
  const canvas = byId("webcam-picture");
  canvas.width = sent.width;
  canvas.height = sent.height;
  const context = canvas.getContext("2d");
  context.drawImage(sent, 0, 0);
  context.lineWidth = 4;
  context.font = "bold 20px Inter, sans-serif";
  for (const face of reading.faces) {
    const [x, y, width, height] = face.box;
    context.strokeStyle = hue(face.emotion);
    context.strokeRect(x, y, width, height);
    const name = emotionName(face.emotion);
    context.fillStyle = "rgb(18 20 24 / 85%)";
    context.fillRect(x - 2, y - 30, context.measureText(name).width + 16, 28);
    context.fillStyle = "#fff";
    context.fillText(name, x + 6, y - 9);
  }
  const words = foundWords(reading.faces);
  canvas.setAttribute("aria-label", words);
  setText(byId("webcam-answer"), words);
  showFaces(reading.faces);
}
