// Text that comes to a draft from elsewhere while somebody types it here: both stay, the one from elsewhere first. The composer itself
// gives way only to another text than its own where nothing was typed.

import { find } from "../dom.js";

const TYPING_MS = 1_000; // the composer keeps what is typed well before
const field = find("#reply");
let isComposing = false;
let typedAt = -Infinity;

field.addEventListener("compositionstart", () => (isComposing = true));
field.addEventListener("compositionend", () => (isComposing = false));
field.addEventListener("input", ({ isTrusted }) => isTrusted && (typedAt = performance.now()));

// Once no word is in the middle of being composed: a field that is written to then would say its beginning twice.
export const composed = () => new Promise((done) => {
  if (isComposing) field.addEventListener("compositionend", () => setTimeout(done), { once: true });
  else done();
});

// `key()`: the name of the draft that the field holds. Another tab of the browser puts a text before what both know, as for a reply that the
// server has refused.
export function joinDrafts(key) {
  addEventListener("storage", async ({ key: changed, oldValue, newValue }) => {
    const before = oldValue ?? "";
    if (changed !== key() || performance.now() - typedAt > TYPING_MS || !newValue?.endsWith(before)) return;
    await composed();
    if (changed !== key() || field.value === newValue) return;
    field.setRangeText(newValue.slice(0, newValue.length - before.length) + (before ? "" : "\n"), 0, 0, "preserve");
    field.dispatchEvent(new Event("input"));
  });
}
