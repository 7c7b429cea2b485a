// One message in the thread. Prints exactly what web/templates/_message.html prints; a test keeps the two alike.

import { lazily } from "./api.js";
import { fillSlots, setAttrs, setText, slot } from "./dom.js";

const ARRIVED = ["sent", "delivered", "read"];
const MISTAKEN = ["stored_public", "stored_private"];
const GROUP_MS = 5 * 60_000;
let forms = null;

// What is in a bubble, by the message's kind, and the marks of a conversation. Until it is there a message shows its text; what the server
// printed stays.
const loadForms = lazily(async () => (forms = await import("./later/forms.js")));

export { forms, loadForms };

// What stands around each message: its day, the "new" divider, where a group of one sender starts and ends.
// `firstNewId`: message before which the agent had read everything, or null.
export function arrange(messages, firstNewId, i18n, conversation) {
  const isNew = ({ id }) => firstNewId !== null && id === firstNewId; // a pending reply has no id either
  const days = messages.map(({ createdAt }) => i18n.day(createdAt));
  const starts = messages.map((message, index) =>
    index === 0 || days[index] !== days[index - 1] || isNew(message) || !isSameGroup(messages[index - 1], message));
  return messages.map((message, index) => ({
    message,
    conversation,
    messages,
    day: index === 0 || days[index] !== days[index - 1] ? days[index] : null,
    isNew: isNew(message),
    isStart: starts[index],
    isEnd: index === messages.length - 1 || starts[index + 1],
  }));
}

function isSameGroup(before, message) {
  const isSame = ["senderType", "senderKind", "senderName", "private"].every((name) => before[name] === message[name]);
  return isSame && new Date(message.createdAt) - new Date(before.createdAt) <= GROUP_MS;
}

// The message before which the "new" divider stands: the first of the `unread` customer messages that came last. Chatwoot numbers messages
// as they come; the time of one may be older than of those before it.
export function firstNew(messages, unread) {
  const inbound = messages.filter(({ senderType }) => senderType === "customer");
  const came = inbound.every(({ chatwootMessageId }) => chatwootMessageId)
    ? [...inbound].sort((a, b) => a.chatwootMessageId - b.chatwootMessageId) : inbound;
  const news = unread > 0 ? came.slice(-unread) : [];
  return inbound.find((message) => news.includes(message))?.id ?? null;
}

// A reply written here keeps its element when the server's message takes the place of the pending one.
export const messageKey = ({ clientId, id }) => (clientId ? `c-${clientId}` : `m-${id}`);

export function fillMessage(node, item, i18n) {
  const { message, day, isNew, isStart, isEnd } = item;
  const { id, seq, senderType, createdAt, deleted } = message;
  const isNote = message.private;
  // A note goes to nobody: only what keeps it from being stored is said.
  const deliveryState = isNote && ARRIVED.includes(message.deliveryState) ? null : message.deliveryError?.discarded ? "discarded" : message.deliveryState;
  const side = isNote ? "note" : senderType === "agent" ? "mine" : "theirs";
  const isShown = node.dataset.seq === `${seq}`;
  setAttrs(node, { "data-key": messageKey(message), id: id && `m${id}`, "data-seq": seq, "data-side": side,
    "data-start": isStart, "data-end": isEnd, "data-state": deliveryState });
  fillSlots(node, {
    day,
    new: isNew && i18n.t("thread.new"),
    note: isNote && isStart && i18n.t("message.note"),
    time: i18n.clock(createdAt),
    state: message.progress && deliveryState === "sending"
      ? i18n.t("message.sendingPart", { n: Math.floor(message.progress * 100) }) : deliveryState && i18n.t(`message.${deliveryState}`),
  });
  if (forms) forms.fillForm(node, item, i18n);
  else if (!isShown) { // what the server printed of an earlier state must not stay
    fillSlots(node, { before: "", after: "", files: "", who: message.senderName, body: deleted ? i18n.t("message.deleted") : message.content });
  }
  setAttrs(slot(node, "body"), { "data-deleted": deleted });
  setAttrs(slot(node, "link"), { href: id && `/inbox/c/${message.conversationId}#m${id}` });
  setAttrs(slot(node, "time"), { datetime: createdAt, title: i18n.full(createdAt) });
  fillTrouble(node, message, deliveryState, i18n);
}

// Stands in the bubble, where it happened, with what can be done about it.
function fillTrouble(node, { id, private: isNote, attachments, chatwootMessageId, deliveryError, deleted }, deliveryState, i18n) {
  const isDiscarded = deliveryState === "discarded";
  const isFailed = deliveryState === "failed" || isDiscarded;
  const isRetried = deliveryState === "sending" && deliveryError; // by itself, as Chatwoot does not answer
  setText(slot(node, "reason"), isDiscarded ? i18n.t("message.discardedBy", deliveryError.discarded) : isFailed || isRetried ? reasonText(deliveryError, i18n) : deliveryState === "held" ? i18n.t("message.heldReason") : "");
  // Refused before the server took it: the text can still be had back. Chatwoot has it as the other kind, or no more: nothing can be done.
  const isFinal = chatwootMessageId && (isNote || deleted || MISTAKEN.includes(deliveryError?.code));
  const state = isFailed && id === null ? "refused" : isFailed && isFinal ? (isDiscarded ? "" : "final") : deliveryState;
  const buttons = [...node.querySelectorAll("[data-act]")];
  const isTaken = id !== null && attachments.length; // the server has its files: they do not come back into the field
  for (const button of buttons) button.hidden = !button.dataset.when.split(" ").includes(state) || (isTaken && button.dataset.act === "edit");
  slot(node, "trouble").hidden = !isFailed && !isRetried && buttons.every(({ hidden }) => hidden);
}

function reasonText(error, i18n) {
  const key = `error.${error?.code}`;
  return i18n.has(key) ? i18n.t(key) : (error?.message || i18n.t("error.unknown"));
}
