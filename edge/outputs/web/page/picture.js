// A picture that is dropped on the page or chosen: sent to the board, shown as it was read, and forgotten.

import { byId, percent, say } from "./basics.js";
import { faceList } from "./faces.js";

const LONGEST = 1920;
const showFaces = faceList(byId("read-faces"));
let asked = 0;

/** The file itself, or a smaller JPEG of a large picture: what the board would shrink need not travel. */
async function smaller(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file; // the board says what is wrong with it
  }
  const ratio = LONGEST / Math.max(bitmap.width, bitmap.height);
  if (ratio >= 1 && ["image/jpeg", "image/png", "image/webp"].includes(file.type)) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * Math.min(1, ratio)));
  canvas.height = Math.max(1, Math.round(bitmap.height * Math.min(1, ratio)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob || file), "image/jpeg", 0.92));
}

function forget(text = "") {
  byId("shown").hidden = true;
  byId("read").removeAttribute("src");
  byId("read").alt = "";
  showFaces([]);
  say(byId("answer"), text);
}

function show({ reading, picture }) {
  const told = reading.faces.map((face) => `${face.emotion} ${percent(face.confidence)}`).join(", ");
  const many = reading.faces.length;
  const words = many === 0 ? "No face was found in it." : `${many === 1 ? "One face" : `${many} faces`}: ${told}.`;
  byId("read").src = picture;
  byId("read").alt = `Your picture. ${words}`;
  showFaces(reading.faces);
  byId("shown").hidden = false;
  say(byId("answer"), words);
}

async function send(file) {
  asked += 1;
  const mine = asked;
  forget(`Reading ${file.name || "the picture"} …`);
  byId("reads").scrollIntoView({ block: "nearest" });
  let text = "The board cannot be reached.";
  try {
    const answer = await fetch("/read", { method: "POST", body: await smaller(file) });
    if (mine !== asked) return;
    if (answer.ok) {
      show(await answer.json());
      return;
    }
    text = (await answer.text()).trim().replace(/^\d+ /, "");
  } catch {
    if (mine !== asked) return;
  }
  forget(`${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`);
}

const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

/** Take pictures from now on. */
export function takePictures() {
  if (!byId("reads").hidden) return;
  byId("reads").hidden = false;
  byId("file").addEventListener("change", (event) => {
    if (event.target.files[0]) send(event.target.files[0]);
    event.target.value = ""; // so that the same one can be chosen again
  });
  byId("forget").addEventListener("click", () => {
    forget("");
    byId("file").focus();
  });
  window.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    byId("dropping").hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("dropping").hidden = true;
  });
  window.addEventListener("drop", (event) => {
    byId("dropping").hidden = true;
    if (!carriesFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}
