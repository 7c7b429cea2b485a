// What marks a conversation in its row and in the head of its thread: channel and inbox, team, a snooze, a block.
// server/core/pages/page_marks.py makes the same; a test compares the two.

import { fillList, setAttrs, setText, slot } from "../dom.js";

const names = new Map(); // integration -> the conversation that tells the present name of its inbox

const shown = new WeakMap(); // list of chips -> what it was filled with

let isBound = false;

// Before rows are filled. An inbox has one name: what was told last counts for all of its conversations, those told of earlier too.
export function prepareMarks(app) {
  if (!isBound) bindLinks(app);
  isBound = true;
  const before = new Map(names);
  names.clear();
  for (const conversation of app.store.conversations()) {
    const { integrationId, inboxName, seq } = conversation;
    if (inboxName && !(names.get(integrationId)?.seq > seq)) names.set(integrationId, conversation);
  }
  if ([...names].some(([id, { inboxName }]) => before.get(id)?.inboxName !== inboxName)) app.thread?.paint();
}

// "Not sent" leads to the reply, in a row and in the head, also where its conversation is open already.
function bindLinks(app) {
  document.addEventListener("click", (event) => {
    const failed = event.target.closest("#rows [data-message]");
    if (failed) failed.closest("a").hash = `m${failed.dataset.message}`; // for this click: the next paint takes it back
    const link = event.target.closest("#rows a, #thread-head a[href^='#m']");
    if (!link?.hash || link.pathname !== location.pathname || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    app.thread.open(app.view.openId);
  }, true);
}

const inboxOf = ({ integrationId, inboxName }) => names.get(integrationId)?.inboxName ?? inboxName;

export function fillRowMarks(row, conversation, i18n) {
  fillMark(slot(row, "channel"), channelMark(conversation, i18n, false));
  fillMark(slot(row, "team"), teamMark(conversation, i18n));
  fillMark(slot(row, "status"), statusMark(conversation, i18n, false));
  fillMark(slot(row, "barrier"), barrierMark(conversation, i18n, false));
  setAttrs(slot(row, "name"), { title: i18n.nameOf(conversation) });
  setAttrs(slot(row, "failed"), { "data-message": conversation.unsentReply?.messageId });
}

function fillMark(node, mark) {
  node.hidden = !mark;
  setAttrs(node, { "aria-label": mark?.title, title: mark?.title });
  setAttrs(node.querySelector("use"), { href: mark && `#i-${mark.icon}` });
  setText(node.lastChild, mark?.text ?? "");
}

export function fillHeadMarks(head, conversation, i18n) {
  const { assignee, priority, labels, mailSubject } = conversation;
  const subject = slot(head, "subject");
  setText(subject, mailSubject ?? "");
  setAttrs(subject, { title: mailSubject, hidden: !mailSubject });
  setAttrs(slot(head, "name"), { title: i18n.nameOf(conversation) });
  const marks = [
    unsentMark(conversation, i18n),
    statusMark(conversation, i18n, true),
    barrierMark(conversation, i18n, true),
    channelMark(conversation, i18n, true),
    teamMark(conversation, i18n),
    ...[assignee?.name || i18n.t("thread.unassigned"), priority && i18n.t(`priority.${priority}`), ...(labels ?? [])]
      .map((text) => text && { text }),
  ].filter(Boolean);
  const chips = slot(head, "chips");
  const told = JSON.stringify(marks);
  if (shown.get(chips) === told) return; // a chip that has the focus keeps it
  shown.set(chips, told);
  fillList(chips, "t-chip", marks, fillChip);
}

export function fillChip(chip, { icon, text, title, href }) {
  setAttrs(chip, { "data-icon": icon, title });
  setAttrs(chip.firstElementChild, { hidden: !icon });
  setAttrs(chip.querySelector("use"), { href: icon && `#i-${icon}` });
  setAttrs(slot(chip, "text"), { href });
  setText(slot(chip, "text"), text);
}

const unsentMark = ({ unsentReply }, i18n) => unsentReply && { text: i18n.t("row.failed"), icon: "unsent", href: `#m${unsentReply.messageId}` };

const teamMark = ({ team }, i18n) => team?.name && { text: team.name, icon: "team", title: i18n.t("mark.team", { name: team.name }) };

const plainWord = (words) => `${words} `.toLowerCase().replaceAll("-", "");

// The channel's icon and, where there are several, the inbox's name, which may begin with the channel's word itself. A row of the CRM's own
// has no channel, but a platform.
function channelMark(conversation, i18n, isWhole) {
  const { channel, platform } = conversation;
  const name = channel?.replace(/^Channel::/, "") || (platform === "facebook" && "FacebookPage");
  if (!name) return null;
  const key = [`appName.${name}`, `channel.${name}`].find(i18n.has);
  const word = key ? i18n.t(key) : name;
  const inbox = i18n.hasInboxes && inboxOf(conversation);
  const whole = inbox ? i18n.t("mark.inbox", { channel: word, inbox }) : word;
  const title = inbox && [word, name].some((one) => plainWord(inbox).startsWith(plainWord(one))) ? inbox : whole;
  return { text: isWhole ? title : inbox || "", icon: `channel-${key ? name : "other"}`, title };
}

function statusMark({ status, chatwootStatus, snoozedUntil }, i18n, isWhole) {
  const isSnoozed = chatwootStatus === "snoozed";
  if (status !== "Open" || (!isSnoozed && chatwootStatus !== "pending")) return null;
  const text = snoozedUntil ? moment(snoozedUntil, i18n, false) : i18n.t(`mark.${chatwootStatus}`);
  const whole = snoozedUntil ? i18n.t("mark.snoozedUntil", { time: moment(snoozedUntil, i18n, true) }) : i18n.t("mark.snoozedFor");
  const title = isSnoozed ? whole : i18n.t("mark.pendingWhy");
  return { text: isWhole && isSnoozed ? title : text, icon: chatwootStatus, title };
}

// One of the two: a muted conversation's customer is blocked, too.
function barrierMark({ isMuted, isBlocked }, i18n, isWhole) {
  const icon = isMuted ? "muted" : isBlocked ? "blocked" : null;
  return icon && { text: isWhole ? i18n.t(`mark.${icon}`) : "", icon, title: i18n.t(`mark.${icon}Why`) };
}

// A moment to come as one says it: "14:30", "tomorrow 09:00", "3 Dec, 09:00"; "3 Dec" where it need not be whole.
function moment(iso, i18n, isWhole) {
  const at = new Date(iso);
  const today = i18n.t("time.today");
  if (i18n.day(at) === today) return i18n.clock(at);
  const eve = new Date(at.getFullYear(), at.getMonth(), at.getDate() - 1, 12);
  if (i18n.day(eve) === today) return i18n.t("time.tomorrow", { time: i18n.clock(at) });
  return i18n.day(at) + (isWhole ? `, ${i18n.clock(at)}` : "");
}
