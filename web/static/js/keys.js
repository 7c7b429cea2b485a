// Single keys, by their place on the keyboard so that a Bengali layout has them too. Never with Alt, Ctrl or
// Meta (layouts and browsers own those), never while writing, and with an off switch.

import { find } from "./dom.js";

const SWITCH = "omni:keys";

// `actions`: code -> function; "Shift+Slash" and the like for shifted ones
export function bindKeys(actions) {
  const help = find("#help");
  const enabled = find("#keys-on");
  enabled.checked = localStorage.getItem(SWITCH) !== "off";
  enabled.addEventListener("change", () => localStorage.setItem(SWITCH, enabled.checked ? "on" : "off"));
  find("#help-open").addEventListener("click", () => help.showModal());
  const all = { ...actions, "Shift+Slash": () => help.showModal() };
  document.addEventListener("keydown", (event) => {
    if (!enabled.checked || event.isComposing || event.altKey || event.ctrlKey || event.metaKey || help.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const action = all[(event.shiftKey ? "Shift+" : "") + event.code];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
