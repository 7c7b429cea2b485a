// One conversation in the list. Prints exactly what web/templates/_row.html prints; a test keeps the two alike.

import { clone, fillSlot, setAttr, setText, slot } from "./dom.js";

const HUES = 8;

export function createRow() {
  return clone("t-row");
}

// `context`: {i18n, unread, isOpen, hasFailed, draft, query}
export function fillRow(row, conversation, { i18n, unread, isOpen, hasFailed, draft, query }) {
  const { id, externalUserName, lastMessageAt, waitingSince, status } = conversation;
  const name = externalUserName || i18n.t("row.nameless", { id: String(id) });
  setAttr(row, "data-key", id);
  setAttr(row, "data-unread", unread > 0);
  const link = row.firstElementChild;
  setAttr(link, "href", `/inbox/c/${id}${query}`);
  setAttr(link, "aria-current", isOpen && "page");
  fillAvatar(slot(row, "avatar"), id, name);
  setText(slot(row, "name"), name);
  fillTime(slot(row, "time"), lastMessageAt, i18n);
  const wait = status === "Open" && waitingSince ? i18n.waiting(waitingSince) : null;
  fillSlot(row, "waiting", wait?.text);
  setAttr(slot(row, "waiting"), "data-level", wait?.level);
  fillSlot(row, "failed", hasFailed ? i18n.t("row.failed") : "");
  fillSlot(row, "draft", draft ? i18n.t("row.draft") : "");
  setText(slot(row, "preview"), draft || previewText(conversation.preview, i18n));
  fillSlot(row, "count", unread > 0 ? i18n.number(unread) : "");
  fillSlot(row, "unread", unread > 0 ? i18n.t("row.unread", { n: unread }) : "");
}

export function fillAvatar(node, id, name) {
  setAttr(node, "data-hue", id % HUES);
  setText(node, (/[\p{L}\p{N}]/u.exec(name)?.[0] ?? "•").toUpperCase());
}

function fillTime(node, iso, i18n) {
  setAttr(node, "datetime", iso);
  setAttr(node, "title", iso && i18n.full(iso));
  setText(node, iso ? i18n.listTime(iso) : "");
}

function previewText(preview, i18n) {
  if (!preview) return "";
  const text = preview.content || (preview.hasAttachments ? i18n.t("row.attachment") : "");
  return preview.senderType === "agent" ? i18n.t("row.reply", { text }) : text;
}
