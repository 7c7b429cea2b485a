// Replies and drafts that earlier versions of the page kept in this browser.

import { write } from "../outbox.js";

const OLD_UNDO_MS = 10_000; // the longest there was

// What earlier versions kept, under the new names. Their drafts did not say whether they were notes: so they are, as a note shown to
// the customer could not be taken back.
export function adopt(storage, owner, agentId) {
  for (const key of Object.keys(storage)) {
    const [, kind, agent, name] = /^omni:(draft|outbox):(\d+):(.+)$/.exec(key) ?? [];
    if (Number(agent) !== agentId) continue;
    const text = storage.getItem(key);
    if (kind === "outbox" && !isEntry(text)) continue;
    const target = `omni:${kind === "draft" ? "note" : kind}:${owner}:${name}`;
    storage.removeItem(key); // first: there may be no room for both
    if (!write(storage, target, kind === "draft" ? [storage.getItem(target), text].filter(Boolean).join("\n") : asEntry(text))) write(storage, key, text);
  }
}

function isEntry(text) {
  try {
    return Boolean(JSON.parse(text).clientId);
  } catch {
    return false;
  }
}

function asEntry(text) {
  const entry = JSON.parse(text);
  return JSON.stringify({ undoMs: OLD_UNDO_MS, dueAt: Date.now() + OLD_UNDO_MS, ...entry, isPrivate: entry.isPrivate !== false });
}
