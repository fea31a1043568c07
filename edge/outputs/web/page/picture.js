// A picture that is dropped on the page or chosen: sent to the board, shown as it was read, and forgotten.

import { byId, confidence, setText } from "./basics.js";
import { faceList } from "./faces.js";
import { address, looks, word } from "./words.js";

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
  setText(byId("answer"), text);
}

/** What was found: Faces found: 1. Looks happy, 97%. */
export function foundWords(faces) {
  if (faces.length === 0) return word("page_no_face");
  const each = faces.map((face) => `${looks(face.emotion)}, ${confidence(face.confidence)}.`);
  return `${word("page_found", { count: faces.length })}. ${each.join(" ")}`;
}

function show({ reading, picture }) {
  const words = foundWords(reading.faces);
  byId("read").src = picture;
  byId("read").alt = `${word("page_yours")}. ${words}`;
  showFaces(reading.faces);
  byId("shown").hidden = false;
  setText(byId("answer"), words);
}

async function send(file) {
  asked += 1;
  const mine = asked;
  forget(word("page_reading"));
  byId("reads").scrollIntoView({ block: "nearest" });
  let text = word("page_unreachable");
  try {
    const answer = await fetch(address("/read"), { method: "POST", body: await smaller(file) });
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
  byId("remove").addEventListener("click", () => {
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
