import assert from "node:assert/strict";
import { test } from "node:test";
import { Outbox } from "../../../web/static/js/outbox.js";
import { Clock, settle } from "./clock.mjs";

// localStorage as browsers give it: its keys are its own properties.
function newStorage() {
  return Object.create({
    getItem(key) { return this[key] ?? null; },
    setItem(key, value) { this[key] = value; },
    removeItem(key) { delete this[key]; },
  });
}

function start(answers, storage = newStorage()) {
  const clock = new Clock();
  const posted = [];
  const told = { heard: [] };
  const kept = new Map();
  const held = { keepFiles: (key, files) => kept.set(key, files), readFiles: async (key) => kept.get(key), dropFiles: (key) => kept.delete(key) };
  let count = 0;
  const outbox = new Outbox({
    agentId: 7, storage, files: held,
    post: async (entry) => {
      posted.push(entry);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer ?? { id: 100 + posted.length, clientId: entry.clientId };
    },
    on: { changed: () => {}, heard: (messages) => told.heard.push(...messages) },
    system: { now: () => `2026-07-18T09:00:0${count}.000Z`, id: () => `key-${++count}`, later: clock.later },
  });
  return { outbox, posted, told, clock, storage };
}

const trouble = (kind, code, body) => Object.assign(new Error("told by the server"), { kind, code, body });
const reply = (content, conversationId = 1) => ({ conversationId, content, isPrivate: false, lastSeenMessageId: 40 });
const states = (outbox, id = 1) => outbox.of(id).map(({ state }) => state);

test("a reply is kept until the server has it", async () => {
  const { outbox, told, storage } = start([]);
  outbox.add(reply("hello"));
  assert.deepEqual(states(outbox), ["sending"]);
  assert.equal(Object.keys(storage).length, 1);
  await settle();
  assert.deepEqual(outbox.of(1), []);
  assert.equal(Object.keys(storage).length, 0);
  assert.equal(told.heard[0].clientId, "key-1");
});

test("without a line it waits, and tries again under the same key", async () => {
  const { outbox, posted, clock } = start([trouble("offline"), trouble("server")]);
  outbox.add(reply("hello"));
  await settle();
  assert.deepEqual(states(outbox), ["waiting"]);
  await clock.pass(2_000);
  await clock.pass(5_000);
  assert.deepEqual(states(outbox), []);
  assert.deepEqual(posted.map(({ clientId }) => clientId), ["key-1", "key-1", "key-1"]);
});

test("replies of one conversation keep their order", async () => {
  const { outbox, posted } = start([]);
  outbox.add(reply("one"));
  outbox.add(reply("two"));
  outbox.add(reply("elsewhere", 2));
  await settle();
  assert.deepEqual(posted.filter(({ conversationId }) => conversationId === 1).map(({ content }) => content), ["one", "two"]);
});

test("a refusal shows its reason and waits for the agent", async () => {
  const { outbox, posted, clock } = start([trouble("refused", "not_allowed")]);
  const { clientId } = outbox.add(reply("hello"));
  await clock.pass(60_000);
  assert.deepEqual(outbox.of(1)[0].error, { code: "not_allowed", message: "told by the server" });
  assert.equal(posted.length, 1);
  outbox.retry(clientId);
  await settle();
  assert.deepEqual(states(outbox), []);
});

test("newer messages hold the reply until the agent sends it anyway", async () => {
  const { outbox, posted, told } = start([trouble("refused", "newer_messages", { messages: [{ id: 41 }] })]);
  const { clientId } = outbox.add(reply("hello"));
  await settle();
  assert.deepEqual(states(outbox), ["held"]);
  assert.deepEqual(told.heard, [{ id: 41 }]);
  outbox.sendAnyway(clientId);
  await settle();
  assert.equal(posted[1].lastSeenMessageId, null);
  assert.deepEqual(states(outbox), []);
});

test("an event that arrives before a lost answer ends the wait", async () => {
  const { outbox, posted, clock } = start([trouble("offline")]);
  const { clientId } = outbox.add(reply("hello"));
  await settle();
  outbox.confirm(clientId);
  await clock.pass(60_000);
  assert.equal(posted.length, 1);
});

test("a reload sends what was left, and leaves to the agent what was theirs to decide", async () => {
  const storage = newStorage();
  const before = start([trouble("offline"), trouble("refused", "no")], storage);
  before.outbox.add(reply("waiting"));
  before.outbox.add(reply("refused", 2));
  await settle();
  const after = start([], storage);
  after.outbox.restore();
  await settle();
  assert.deepEqual(after.posted.map(({ content }) => content), ["waiting"]);
  assert.deepEqual(states(after.outbox, 2), ["failed"]);
});

test("the line coming back does not wait for the timer", async () => {
  const { outbox, posted } = start([trouble("offline")]);
  outbox.add(reply("hello"));
  await settle();
  outbox.wake();
  await settle();
  assert.equal(posted.length, 2);
});

test("a full storage costs survival of a reload, not the reply", async () => {
  const storage = newStorage();
  Object.getPrototypeOf(storage).setItem = () => { throw Object.assign(new Error("full"), { name: "QuotaExceededError" }); };
  const { outbox, posted } = start([], storage);
  outbox.add(reply("hello"));
  await settle();
  assert.equal(posted.length, 1);
});

test("a reply that can be taken back goes out later, or at once when asked, or never", async () => {
  const { outbox, posted, clock } = start([]);
  outbox.add(reply("slow"), 5_000);
  outbox.add(reply("impatient"), 5_000);
  const { clientId } = outbox.add(reply("regretted"), 5_000);
  assert.deepEqual(states(outbox), ["undo", "undo", "undo"]);
  assert.equal(outbox.discard(clientId).content, "regretted");
  await clock.pass(4_999);
  assert.deepEqual(posted, []);
  outbox.release(1);
  await clock.pass(10_000);
  assert.deepEqual(posted.map(({ content }) => content), ["slow", "impatient"]);
});

test("a reply that could still be taken back when the page went is sent by the next one", async () => {
  const first = start([]);
  first.outbox.add(reply("left behind"), 5_000);
  const second = start([], first.storage);
  second.outbox.restore();
  await settle();
  assert.deepEqual(second.posted.map(({ content }) => content), ["left behind"]);
});
