// One message in the thread. Prints exactly what web/templates/_message.html prints; a test keeps the two alike.

import { clone, fillSlot, setAttr, setText, slot } from "./dom.js";

const MEDIA = ["image", "audio", "video"];
const filled = new WeakMap(); // list of files -> what it shows
const GROUP_MS = 5 * 60_000;

// What stands around each message: its day, the "new" divider, where a group of one sender starts and ends.
// `firstNewId`: message before which the agent had read everything, or null.
export function arrange(messages, firstNewId, i18n) {
  const isNew = ({ id }) => firstNewId !== null && id === firstNewId; // a pending reply has no id either
  const days = messages.map(({ createdAt }) => i18n.day(createdAt));
  const starts = messages.map((message, index) =>
    index === 0 || days[index] !== days[index - 1] || isNew(message) || !isSameGroup(messages[index - 1], message));
  return messages.map((message, index) => ({
    message,
    day: index === 0 || days[index] !== days[index - 1] ? days[index] : null,
    isNew: isNew(message),
    isStart: starts[index],
    isEnd: index === messages.length - 1 || starts[index + 1],
  }));
}

function isSameGroup(before, message) {
  const isSame = ["senderType", "senderName", "private"].every((name) => before[name] === message[name]);
  return isSame && new Date(message.createdAt) - new Date(before.createdAt) <= GROUP_MS;
}

// The message before which the "new" divider stands: `unread` customer messages follow it.
export function firstNew(messages, unread) {
  let first = null;
  for (let index = messages.length - 1; index >= 0 && unread > 0; index--) {
    if (messages[index].senderType !== "customer") continue;
    first = messages[index].id;
    unread--;
  }
  return first;
}

// A reply written here keeps its element when the server's message takes the place of the pending one.
export const messageKey = ({ clientId, id }) => (clientId ? `c-${clientId}` : `m-${id}`);

export function createMessage() {
  return clone("t-message");
}

export function fillMessage(node, { message, day, isNew, isStart, isEnd }, i18n) {
  const { id, senderType, senderName, createdAt, deleted, deliveryState } = message;
  const isNote = message.private;
  setAttr(node, "data-key", messageKey(message));
  setAttr(node, "id", id && `m${id}`);
  setAttr(node, "data-side", isNote ? "note" : senderType === "agent" ? "mine" : "theirs");
  setAttr(node, "data-start", isStart);
  setAttr(node, "data-end", isEnd);
  setAttr(node, "data-state", deliveryState);
  fillSlot(node, "day", day);
  fillSlot(node, "new", isNew ? i18n.t("thread.new") : "");
  fillSlot(node, "note", isNote && isStart ? i18n.t("message.note") : "");
  const who = senderName || i18n.t(senderType === "agent" ? "message.agent" : "message.customer");
  setText(slot(node, "who"), who);
  setAttr(slot(node, "body"), "data-deleted", deleted);
  fillSlot(node, "body", deleted ? i18n.t("message.deleted") : message.content);
  fillFiles(slot(node, "files"), message, i18n);
  setAttr(slot(node, "link"), "href", id && `/inbox/c/${message.conversationId}#m${id}`);
  setAttr(slot(node, "time"), "datetime", createdAt);
  setAttr(slot(node, "time"), "title", i18n.full(createdAt));
  setText(slot(node, "time"), i18n.clock(createdAt));
  fillSlot(node, "state", message.progress && deliveryState === "sending"
    ? i18n.t("message.sendingPart", { n: Math.floor(message.progress * 100) }) : deliveryState && i18n.t(`message.${deliveryState}`));
  fillTrouble(node, message, i18n);
}

// Stands in the bubble, where it happened, with what can be done about it.
function fillTrouble(node, { id, deliveryState, deliveryError }, i18n) {
  const isHeld = deliveryState === "held";
  const isFailed = deliveryState === "failed";
  slot(node, "trouble").hidden = !["failed", "held", "waiting", "undo"].includes(deliveryState);
  setText(slot(node, "reason"), isFailed ? reasonText(deliveryError, i18n) : isHeld ? i18n.t("message.heldReason") : "");
  const isOurs = isFailed && id === null; // refused before the server took it: the text can still be had back
  for (const button of node.querySelectorAll("[data-act]")) {
    button.hidden = !button.dataset.when.split(" ").includes(isOurs ? "refused" : (deliveryState ?? ""));
  }
}

function reasonText(error, i18n) {
  const key = `error.${error?.code}`;
  return i18n.has(key) ? i18n.t(key) : (error?.message || i18n.t("error.unknown"));
}

// Fetched through the server: the addresses in the message come from outside, and expire. What Chatwoot has yet to store has only
// its name.
function fillFiles(list, { id, deleted, attachments }, i18n) {
  const files = deleted ? [] : (attachments ?? []).map((file, index) => ({ ...file, address: file.url ? `/api/attachments/${id}/${index}` : null }));
  const shown = files.filter(({ url }) => !url || /^https?:\/\//.test(url));
  list.hidden = shown.length === 0;
  const key = shown.map(({ type, address, url, name }) => [type, address, url, name].join()).join();
  if (filled.get(list) === key) return; // playing media goes on
  filled.set(list, key);
  list.replaceChildren(...shown.map((file) => createFile(file, i18n)));
}

function createFile({ type, address, thumbUrl, name, width, height }, i18n) {
  const kind = address && MEDIA.includes(type) ? type : "file";
  const item = clone(`t-${kind}`);
  const label = name || i18n.t(`file.${kind}`);
  const file = slot(item, "file");
  if (kind === "file") setText(file, label);
  else setAttr(file, kind === "image" ? "alt" : "aria-label", label);
  if (kind === "file" || kind === "image") setAttr(item.firstElementChild, "href", address);
  if (kind === "file") return item;
  if (kind !== "audio") setAttr(file, "width", width || null);
  if (kind !== "audio") setAttr(file, "height", height || null);
  setAttr(file, "src", kind === "image" && thumbUrl ? `${address}/thumb` : address);
  return item;
}
