import assert from "node:assert/strict";
import { test } from "node:test";
import { Reads } from "../../../web/static/js/reads.js";
import { Store } from "../../../web/static/js/store.js";
import { Clock } from "./clock.mjs";

const conversation = (seq) => ({ id: 1, status: "Open", inboundCount: 1, seq });
const message = (id, seq) => ({ id, conversationId: 1, senderType: "customer", createdAt: `2026-07-18T09:00:0${id}.000Z`, seq });
const event = (id, seq) => ({ kind: "message.created", data: { conversation: conversation(seq), message: message(id, seq) } });

// A page that has applied events up to `cursor`; each answer is given by hand.
function start(cursor) {
  const clock = new Clock();
  const page = { clock, cursor, store: new Store(7), answers: [] };
  page.reads = new Reads(page.store, () => page.cursor, clock);
  page.open = () => page.reads.run(
    () => new Promise((resolve, reject) => page.answers.push({ resolve, reject })),
    ({ data }) => page.store.loadThread(data, 50));
  page.hear = (id, seq) => {
    page.cursor = `e.${seq}`;
    page.store.apply(event(id, seq));
    page.reads.note(event(id, seq));
  };
  page.answer = (at, ...messages) => page.answers.shift().resolve({ cursor: at, data: { ...conversation(1), messages } });
  page.shown = () => page.store.messages(1).map(({ id }) => id);
  return page;
}

test("an event that arrives while the thread is fetched is in it afterwards", async () => {
  const page = start("e.10");
  const opened = page.open();
  page.hear(3, 11);
  page.answer("e.10", message(1, 1), message(2, 2));
  await opened;
  assert.deepEqual(page.shown(), [1, 2, 3]);
});

test("an event between answer and loading changes nothing that is newer", async () => {
  const page = start("e.10");
  const opened = page.open();
  page.hear(2, 11);
  page.answer("e.12", message(1, 1), message(2, 12));
  await opened;
  assert.equal(page.store.messages(1)[1].seq, 12);
});

test("an answer older than what was applied before it was asked for is asked for again", async () => {
  const page = start("e.10");
  page.hear(3, 11);
  const opened = page.open();
  page.answer("e.10", message(1, 1));
  await page.clock.pass(500);
  assert.deepEqual(page.shown(), []);
  page.answer("e.11", message(1, 1), message(3, 11));
  await opened;
  assert.deepEqual(page.shown(), [1, 3]);
});

test("answers that stay too old are a server's trouble, and nothing is shown for true", async () => {
  const page = start("e.10");
  const opened = assert.rejects(page.open(), { kind: "server" });
  for (let tries = 0; tries < 6; tries++) {
    page.answer("d.99", message(1, 1));
    await page.clock.pass(500);
  }
  await opened;
  assert.deepEqual(page.shown(), []);
});

test("an answer of a life that a reset has ended is not taken", async () => {
  const page = start("e.900");
  const opened = page.open();
  page.cursor = "f.3";
  page.store.replace([], null);
  page.answer("e.900", message(1, 900));
  await page.clock.pass(500);
  page.answer("f.3", message(1, 2));
  await opened;
  assert.equal(page.store.messages(1)[0].seq, 2);
});

test("a read that fails is over, and a later one begins anew", async () => {
  const page = start("e.10");
  const failed = assert.rejects(page.open(), { kind: "offline" });
  page.answers.shift().reject(Object.assign(new Error("no line"), { kind: "offline" }));
  await failed;
  page.hear(2, 11);
  const opened = page.open();
  page.answer("e.11", message(1, 1));
  await opened;
  assert.deepEqual(page.shown(), [1], "what was heard before it began is the answer's to have");
});

test("the answer of a write is taken once, and not across a reset", async () => {
  const page = start("e.10");
  const taken = [];
  await page.reads.take(Promise.resolve("now"), (answer) => taken.push(answer));
  const late = page.reads.take(Promise.resolve("late"), (answer) => taken.push(answer));
  page.store.replace([], null);
  await late;
  assert.deepEqual(taken, ["now"]);
});

// As `start`, for a count: the server's answers are given by hand, and this page counts what its store holds.
function counting() {
  const page = start("e.10");
  page.store.load([{ ...conversation(1), readCount: 0, unreadCount: 1 }]);
  page.store.recount({ Open: 3, Closed: 0 });
  page.counted = page.reads.count(
    () => new Promise((resolve) => page.answers.push({ resolve })),
    () => page.store.counts(), (...counts) => page.store.recount(...counts));
  page.unread = (seq) => {
    page.cursor = `e.${seq}`;
    const heard = { kind: "conversation.created", data: { conversation: { ...conversation(seq), id: seq, inboundCount: 1 } } };
    page.store.apply(heard);
    page.reads.note(heard);
  };
  page.say = (cursor, Open) => page.answers.shift().resolve({ cursor, data: { Open, Closed: 0 } });
  return page;
}

test("a count is compared with what was counted here at its place, whatever has come since", async () => {
  const page = counting();
  page.unread(11);
  page.unread(12);
  page.unread(13);
  page.say("e.11", 9); // with the two held here by then: seven elsewhere
  await page.counted;
  assert.deepEqual(page.store.counts(), { Open: 11, Closed: 0, unsent: 0 });
});

test("a count whose last events are still on their way waits for them", async () => {
  const page = counting();
  page.say("e.11", 9);
  await page.clock.pass(100);
  page.unread(11);
  await page.clock.pass(500);
  await page.counted;
  assert.deepEqual(page.store.counts(), { Open: 9, Closed: 0, unsent: 0 });
});

test("a count is taken again when something was loaded, written or counted meanwhile", async () => {
  for (const disturb of [
    (page) => page.reads.run(() => Promise.resolve({ cursor: "e.10" }), () => {}),
    (page) => page.reads.take(Promise.resolve({}), () => {}),
    (page) => page.reads.take(new Promise(() => {}), () => {}),
    (page) => page.store.replace([], null),
  ]) {
    const page = counting();
    disturb(page);
    page.say("e.10", 9);
    await page.clock.pass(500);
    assert.equal(page.answers.length, 1, `${disturb}`);
    assert.deepEqual(page.store.counts(), { Open: 3, Closed: 0, unsent: 0 });
  }
});

test("two counts at once correct this page once", async () => {
  const page = counting();
  const second = page.reads.count(
    () => new Promise((resolve) => page.answers.push({ resolve })),
    () => page.store.counts(), (...counts) => page.store.recount(...counts));
  page.say("e.10", 9);
  page.say("e.10", 9);
  await page.counted;
  await page.clock.pass(500);
  page.say("e.10", 9);
  await second;
  assert.deepEqual(page.store.counts(), { Open: 9, Closed: 0, unsent: 0 });
});
