// One message in the thread. Prints exactly what web/templates/_message.html prints; a test keeps the two alike.

import { clone, fillSlots, setAttrs, setText, slot } from "./dom.js";

const MEDIA = ["image", "audio", "video"];
const ARRIVED = ["sent", "delivered", "read"];
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

export function fillMessage(node, { message, day, isNew, isStart, isEnd }, i18n) {
  const { id, senderType, senderName, createdAt, deleted } = message;
  const isNote = message.private;
  // A note goes to nobody: only what keeps it from being stored is said.
  const deliveryState = isNote && ARRIVED.includes(message.deliveryState) ? null : message.deliveryState;
  const side = isNote ? "note" : senderType === "agent" ? "mine" : "theirs";
  setAttrs(node, { "data-key": messageKey(message), id: id && `m${id}`, "data-side": side,
    "data-start": isStart, "data-end": isEnd, "data-state": deliveryState });
  fillSlots(node, {
    day,
    new: isNew && i18n.t("thread.new"),
    who: senderName || i18n.t(senderType === "agent" ? "message.agent" : "message.customer"),
    note: isNote && isStart && i18n.t("message.note"),
    body: deleted ? i18n.t("message.deleted") : message.content,
    edited: message.editedAt && i18n.t("message.edited"),
    time: i18n.clock(createdAt),
    state: message.progress && deliveryState === "sending"
      ? i18n.t("message.sendingPart", { n: Math.floor(message.progress * 100) }) : deliveryState && i18n.t(`message.${deliveryState}`),
  });
  setAttrs(slot(node, "body"), { "data-deleted": deleted });
  setAttrs(slot(node, "link"), { href: id && `/inbox/c/${message.conversationId}#m${id}` });
  setAttrs(slot(node, "time"), { datetime: createdAt, title: i18n.full(createdAt) });
  fillFiles(slot(node, "files"), message, i18n);
  fillTrouble(node, message, i18n);
}

// Stands in the bubble, where it happened, with what can be done about it.
function fillTrouble(node, { id, chatwootMessageId, deliveryState, deliveryError }, i18n) {
  const isFailed = deliveryState === "failed";
  const isRetried = deliveryState === "sending" && deliveryError; // by itself, as Chatwoot does not answer
  setText(slot(node, "reason"), isFailed || isRetried ? reasonText(deliveryError, i18n) : deliveryState === "held" ? i18n.t("message.heldReason") : "");
  // Refused before the server took it: the text can still be had back. By the channel: Chatwoot has it, and from here it cannot be sent again.
  const state = isFailed && id === null ? "refused" : isFailed && chatwootMessageId ? "" : deliveryState;
  const buttons = [...node.querySelectorAll("[data-act]")];
  for (const button of buttons) button.hidden = !button.dataset.when.split(" ").includes(state);
  slot(node, "trouble").hidden = !isFailed && !isRetried && buttons.every(({ hidden }) => hidden);
}

function reasonText(error, i18n) {
  const key = `error.${error?.code}`;
  return i18n.has(key) ? i18n.t(key) : (error?.message || i18n.t("error.unknown"));
}

// Fetched through the server: the addresses in the message come from outside, and expire. What Chatwoot has yet to store has only
// its name.
function fillFiles(list, { id, deleted, attachments }, i18n) {
  const shown = deleted ? [] : (attachments || [])
    .map((file, index) => ({ ...file, address: file.url && `/api/attachments/${id}/${file.id ? `id-${file.id}` : index}` }))
    .filter(({ url, link }) => /^(https?:|$)/.test(url || link || ""));
  list.hidden = !shown.length;
  const key = shown.map(({ type, address, url, name, link }) => [type, address, url, name, link]).join();
  if (filled.get(list) === key) return; // playing media goes on
  filled.set(list, key);
  list.replaceChildren(...shown.map((file) => createFile(file, i18n)));
}

function createFile({ type, address, thumbUrl, name, link, width, height }, i18n) {
  const kind = address && MEDIA.includes(type) ? type : "file";
  const item = clone(`t-${kind}`);
  const label = name || link || i18n.t(`file.${kind}`);
  const file = slot(item, "file");
  const isImage = kind === "image";
  if (isImage || kind === "file") setAttrs(item.firstElementChild, { href: address || link });
  if (kind === "file") setText(file, label);
  else setAttrs(file, { [isImage ? "alt" : "aria-label"]: label, src: isImage && thumbUrl ? `${address}/thumb` : address });
  if ((isImage || kind === "video") && width && height) setAttrs(file, { width, height });
  return item;
}
