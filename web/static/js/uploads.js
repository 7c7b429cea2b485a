// Files of replies: chosen by the button, by paste, by drop; and kept by the browser until they are sent, so that they survive a
// reload as the reply's text does.

import { lazily } from "./api.js";
import { find } from "./dom.js";

// `take(files)`: an agent hands over some.
export function hearFiles(form, take) {
  const input = find("#attach");
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  form.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
  // A file dropped beside the form would replace the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (find("#thread").contains(event.target)) take([...event.dataTransfer.files]);
  });
}

// A browser that keeps nothing still sends what the page holds.
const load = lazily(() => import("./later/kept-files.js"));
const run = (mode, act) => load().then(({ inStore }) => inStore(mode, act)).catch(() => undefined);

const told = new BroadcastChannel("omni:files");

// `take(key)`: another page of this browser has changed what is kept under it.
export function hearKept(take) {
  told.addEventListener("message", ({ data }) => take(data));
}

export const tellKept = (key) => told.postMessage(key);
export const keepFiles = (key, files) => run("readwrite", (store) => store.put(files, key));
export const readFiles = (key) => run("readonly", (store) => store.get(key));
export const dropFiles = (key) => run("readwrite", (store) => store.delete(key));
