// The page's texts, in the language that the browser prefers.

let words = {};

/** The address of a path on this board; without the password that the page's own address may hold, which fetch refuses. */
export const address = (path) => location.origin + path;

/** Fetch the texts and put them into the page. Throws where the board cannot be reached. */
export async function loadWords() {
  if (Object.keys(words).length) return;
  const answer = await fetch(address("/words.json"));
  if (!answer.ok) throw new Error(`${answer.status}`);
  const { language, words: all } = await answer.json();
  words = all;
  document.documentElement.lang = language;
  translate(document);
  for (const template of document.querySelectorAll("template")) translate(template.content);
}

function translate(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const attribute of ["alt", "aria-label", "content"]) {
    for (const element of root.querySelectorAll(`[data-word-${attribute}]`)) {
      element.setAttribute(attribute, word(element.getAttribute(`data-word-${attribute}`)));
    }
  }
}

/** A text by its key, its {fields} filled in. */
export function word(key, fields = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
}

const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** An emotion in the page's language; a label of the owner's own as it is written, `_` as a space. */
const labelText = (label) => (words[`looks_${label}`] ? word(label) : label.replaceAll("_", " "));

/** An emotion as a name: Happy. */
export const emotionName = (emotion) => capitalised(labelText(emotion));

/** What a face looks like: Looks happy. */
export const looks = (emotion) => capitalised(words[`looks_${emotion}`] ?? labelText(emotion));

/** A word with its first letter in upper case. */
export const heading = (key) => capitalised(word(key));
