import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../../web/static/js/store.js";

const ME = 7;
const conversation = (id, more = {}) => ({ id, status: "Open", lastMessageAt: `2026-07-18T09:00:0${id}.000Z`, inboundCount: 1, seq: 10, ...more });
const message = (id, more = {}) => ({ id, conversationId: 1, senderType: "customer", content: `text ${id}`, createdAt: `2026-07-18T09:00:0${id}.000Z`, seq: 10, ...more });
const ids = (items) => items.map(({ id }) => id);

test("conversations are newest first, rows without a message last", () => {
  const store = new Store(ME);
  store.load([conversation(1), conversation(3), conversation(9, { lastMessageAt: null }), conversation(2)]);
  assert.deepEqual(ids(store.conversations()), [3, 2, 1, 9]);
});

test("an object whose seq is not above the one held is left alone", () => {
  const store = new Store(ME);
  store.load([conversation(1, { status: "Closed", seq: 12 })]);
  store.apply({ kind: "conversation.updated", data: { conversation: conversation(1, { seq: 11 }) } });
  store.load([conversation(1, { seq: 12 })]);
  assert.equal(store.conversation(1).status, "Closed");
});

test("events carry no readCount: the one held survives them", () => {
  const store = new Store(ME);
  store.load([conversation(1, { readCount: 1 })]);
  store.apply({ kind: "message.created", data: { conversation: conversation(1, { inboundCount: 3, seq: 11 }), message: message(2, { seq: 11 }) } });
  assert.equal(store.unread(1), 2);
});

test("a created conversation is unread from its first message", () => {
  const store = new Store(ME);
  store.apply({ kind: "conversation.created", data: { conversation: conversation(1, { inboundCount: 1 }) } });
  assert.equal(store.unread(1), 1);
});

test("how far an unknown conversation was read is unknown until REST tells", () => {
  const store = new Store(ME);
  store.apply({ kind: "message.created", data: { conversation: conversation(1, { inboundCount: 40 }) } });
  assert.equal(store.unread(1), null);
  store.load([conversation(1, { inboundCount: 40, readCount: 39 })]);
  assert.equal(store.unread(1), 1);
});

test("reading on another device of the same agent counts, a colleague's does not", () => {
  const store = new Store(ME);
  store.load([conversation(1, { inboundCount: 5, readCount: 0 })]);
  const read = (agentId, readCount, seq) =>
    store.apply({ kind: "conversation.read", data: { conversation: conversation(1, { inboundCount: 5, seq }), agentId, readCount } });
  read(99, 5, 11);
  assert.equal(store.unread(1), 5);
  read(ME, 4, 12);
  assert.equal(store.unread(1), 1);
});

test("reading never goes backwards", () => {
  const store = new Store(ME);
  store.load([conversation(1, { inboundCount: 5, readCount: 4 })]);
  store.load([conversation(1, { inboundCount: 5, readCount: 2, seq: 11 })]);
  assert.equal(store.unread(1), 1);
});

test("what is looked at is shown as read until the server has said how far it is", () => {
  const store = new Store(ME);
  store.load([conversation(1, { inboundCount: 5, readCount: 0 })]);
  const settle = store.markRead(1);
  store.load([conversation(1, { inboundCount: 5, readCount: 4, seq: 11 })]);
  assert.equal(store.unread(1), 0);
  settle();
  assert.equal(store.unread(1), 1, "one of the five was not on the screen");
});

test("the answer to an earlier mark does not end a later one", () => {
  const store = new Store(ME);
  store.load([conversation(1, { inboundCount: 5, readCount: 0 })]);
  const settle = store.markRead(1);
  store.markRead(1);
  settle();
  assert.equal(store.unread(1), 0);
});

test("where it is not known how far this agent has read, what is read for everyone does not tell", () => {
  const store = new Store(ME);
  const at = { inboundCount: 5, seq: 11 };
  for (const held of [[], [conversation(1, { inboundCount: 5 })]]) {
    store.load(held);
    store.apply({ kind: "conversation.read", data: { conversation: conversation(1, at), agentId: null, readCount: 3 } });
    assert.equal(store.unread(1), null);
  }
});

test("messages are ordered by time, then id, and only threads that were loaded grow", () => {
  const store = new Store(ME);
  const at = "2026-07-18T09:00:05.000Z";
  store.loadThread({ ...conversation(1), messages: [message(9, { createdAt: at }), message(4, { createdAt: at }), message(1)] });
  store.apply({ kind: "message.created", data: { conversation: conversation(1, { seq: 11 }), message: message(2, { seq: 11 }) } });
  assert.deepEqual(ids(store.messages(1)), [1, 2, 4, 9]);
  store.apply({ kind: "message.created", data: { conversation: conversation(2, { seq: 12 }), message: message(3, { conversationId: 2, seq: 12 }) } });
  assert.equal(store.hasThread(2), false);
});

test("within a second Chatwoot's number says what was first, and a reply that has none yet stands last", () => {
  const store = new Store(ME);
  const at = (fraction, chatwootMessageId = null) => ({ createdAt: `2026-07-18T09:00:05.${fraction}Z`, chatwootMessageId });
  store.loadThread({ ...conversation(1), messages: [message(9, at("204", 88)), message(4, at("000", 89)), message(5, at("100")), message(6)] });
  assert.deepEqual(ids(store.messages(1)), [9, 4, 5, 6]);
});

test("who sends a reply has seen what came last, wherever it stands", () => {
  const store = new Store(ME);
  assert.equal(store.lastCame(1), null);
  store.loadThread({ ...conversation(1), messages: [message(4), message(9, { createdAt: "2026-07-18T08:00:00.000Z" }), message(6)] });
  assert.equal(store.messages(1).at(-1).id, 6);
  assert.equal(store.lastCame(1), 9);
});

test("a reset forgets what cannot be compared with the new log", () => {
  const store = new Store(ME);
  store.load([conversation(1, { seq: 900 }), conversation(2)]);
  store.replace([conversation(1, { seq: 3, status: "Closed" })], null);
  assert.deepEqual(ids(store.conversations()), [1]);
  assert.equal(store.conversation(1).status, "Closed");
});

test("listeners hear which conversations changed, and nothing when nothing did", () => {
  const store = new Store(ME);
  const heard = [];
  store.subscribe((changed) => heard.push([...changed]));
  store.load([conversation(1)]);
  store.load([conversation(1)]);
  store.apply({ kind: "of.tomorrow", data: {} });
  assert.deepEqual(heard, [[1]]);
});

test("unread counts conversations: what the server counted elsewhere, and each that is held once", () => {
  const store = new Store(7);
  const row = (id, unread, more = {}) => ({ id, status: "Open", seq: 1, inboundCount: 5, readCount: 5 - unread, unreadCount: unread, ...more });
  store.recount({ Open: 4, Closed: 2 });
  store.load([row(1, 3), row(2, 0, { status: "Closed" })]);
  assert.deepEqual(store.counts(), { Open: 4, Closed: 2, unsent: 0 });
  store.apply({ kind: "message.created", data: { conversation: { id: 1, status: "Open", seq: 2, inboundCount: 6 } } });
  assert.deepEqual(store.counts(), { Open: 4, Closed: 2, unsent: 0 });
  store.apply({ kind: "conversation.updated", data: { conversation: { id: 1, status: "Closed", seq: 3, inboundCount: 6 } } });
  assert.deepEqual(store.counts(), { Open: 3, Closed: 3, unsent: 0 });
  store.markRead(1);
  store.load([row(3, 1)]); // the next page: it was counted among the others until now
  assert.deepEqual(store.counts(), { Open: 3, Closed: 2, unsent: 0 });
});

test("what is read in Chatwoot is read for every agent", () => {
  const store = new Store(7);
  const read = (agentId, readCount) => store.apply({
    kind: "conversation.read", data: { agentId, readCount, conversation: { id: 1, status: "Open", seq: 1, inboundCount: 5 } },
  });
  store.load([{ id: 1, status: "Open", seq: 1, inboundCount: 5, readCount: 1, unreadCount: 4 }]);
  read(8, 4);
  assert.equal(store.unread(1), 4);
  read(null, 5);
  assert.equal(store.unread(1), 0);
});

test("a conversation first heard of in an event is counted once its read mark is known", () => {
  const store = new Store(7);
  store.recount({ Open: 4, Closed: 0 });
  store.apply({ kind: "conversation.updated", data: { conversation: { id: 1, status: "Open", seq: 2, inboundCount: 5 } } });
  store.load([{ id: 1, status: "Open", seq: 2, inboundCount: 5, readCount: 1, unreadCount: 4 }]);
  assert.deepEqual(store.counts(), { Open: 4, Closed: 0, unsent: 0 });
});

test("rows stay sorted while they change", () => {
  const store = new Store(7);
  const at = (id, minute, seq) => ({ id, seq, status: "Open", lastMessageAt: `2026-07-18T09:${minute}:00.000Z` });
  store.load([at(1, "01", 1), at(2, "03", 1), at(3, "02", 1)]);
  assert.deepEqual(store.conversations().map(({ id }) => id), [2, 3, 1]);
  store.apply({ kind: "conversation.updated", data: { conversation: at(1, "04", 2) } });
  assert.deepEqual(store.conversations().map(({ id }) => id), [1, 2, 3]);
});

const event = (id, more = {}) => ({ kind: "message.updated", data: { conversation: conversation(1, { seq: 11 }), message: message(id, { seq: 11, ...more }) } });

test("a change to a message older than the loaded page tears no hole: it is on a page not loaded yet", () => {
  const store = new Store(ME);
  store.loadThread({ ...conversation(1), messages: [message(5), message(6)] }, 2);
  assert.equal(store.hasOlder(1), true);
  store.apply(event(2));
  assert.deepEqual(ids(store.messages(1)), [5, 6]);
  store.loadMessage(message(3));
  assert.deepEqual(ids(store.messages(1)), [5, 6]);
  store.loadThread({ ...conversation(1), messages: [message(3), message(4)] }, 2);
  assert.deepEqual(ids(store.messages(1)), [3, 4, 5, 6]);
  store.apply(event(4, { content: "changed" }));
  assert.equal(store.messages(1)[1].content, "changed");
});

test("once the whole thread is held, what is found late and stands before all others is shown", () => {
  const store = new Store(ME);
  store.loadThread({ ...conversation(1), messages: [message(5)] }, 2);
  assert.equal(store.hasOlder(1), false);
  store.apply(event(2));
  assert.deepEqual(ids(store.messages(1)), [2, 5]);
});

test("a reset begins another life, in which the thread that was put in its place has its own end", () => {
  const store = new Store(ME);
  store.loadThread({ ...conversation(1), messages: [message(5)] }, 2);
  const { life } = store;
  store.replace([conversation(1)], { ...conversation(1), messages: [message(5), message(6)] }, 2);
  assert.notEqual(store.life, life);
  assert.equal(store.hasOlder(1), true);
});
