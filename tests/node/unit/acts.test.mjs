import assert from "node:assert/strict";
import { test } from "node:test";
import { Acts } from "../../../web/static/js/later/acts.js";

function newStorage() {
  return Object.create({
    getItem(key) { return this[key] ?? null; },
    setItem(key, value) { this[key] = value; },
    removeItem(key) { delete this[key]; },
  });
}

const trouble = (kind, code = kind) => Object.assign(new Error(kind), { kind, code });

// `there`: conversation and messages as the server has them; `line.isDead`: nothing reaches it.
function start({ storage = newStorage(), line = { isDead: false }, there = {}, cursor = "a.1" } = {}) {
  there.conversation ??= { id: 1, status: "Open" };
  there.messages ??= [{ id: 7, seq: 3, deliveryState: "failed" }];
  const asked = [];
  const told = [];
  const due = [];
  const reach = async (what, answer) => {
    if (line.isDead) throw trouble("offline");
    if (line.refuses) throw trouble("refused", line.refuses);
    asked.push(what);
    return answer();
  };
  const held = { ...there.conversation };
  const app = {
    cursor,
    i18n: { t: (key) => key },
    sender: { renew() {} },
    outbox: {}, thread: {},
    store: { conversation: () => held, load: ([changed]) => Object.assign(held, changed), loadMessage() {} },
    reads: { take: async (writing, load) => load(await writing) },
    api: {
      setStatus: (id, status) => reach(status, () => (there.conversation = { ...there.conversation, status })),
      onMessage: (kind, id, messageId) => reach(`${kind} ${messageId}`, () => there.messages[0]),
      conversation: async () => ({ data: await (line.isDead ? Promise.reject(trouble("offline")) : there.conversation) }),
      thread: async () => ({ data: { messages: there.messages } }),
    },
  };
  const tell = (how) => (what, act) => told.push({ how, what: what.code ?? what, act });
  const toast = { done: tell("done"), refused: tell("refused") };
  const shown = { owner: "1.7", status: { say() {} }, loadToast: async () => toast };
  return { acts: new Acts(app, { ...shown, storage, later: (action) => (due.push(action), due.length) }), due, app, asked, told, line, storage, there };
}

const failed = { id: 7, seq: 3, conversationId: 1, content: "x", deliveryError: {} };

test("an act without a line is kept, and done once when it is back", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.toggle(1);
  assert.deepEqual(page.told.map(({ what }) => what), ["act.kept"]);
  await page.acts.wake();
  assert.equal(Object.keys(page.storage).length, 1); // the line is still dead
  page.line.isDead = false;
  await page.acts.wake();
  await page.acts.wake();
  assert.deepEqual(page.asked, ["Closed"]);
  assert.deepEqual(page.told.map(({ what }) => what), ["act.kept", "status.nowClosed"]);
});

test("a page that was loaded anew does it too", async () => {
  const before = start({ line: { isDead: true } });
  await before.acts.onMessage("discard", failed);
  const after = start({ storage: before.storage });
  await after.acts.wake();
  assert.deepEqual(after.asked, ["discard 7"]);
  assert.equal(Object.keys(after.storage).length, 0);
});

test("the last one of each counts: pressed again, nothing is changed", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.toggle(1);
  await page.acts.toggle(1);
  await page.acts.onMessage("retry", failed);
  await page.acts.onMessage("discard", failed);
  page.line.isDead = false;
  await page.acts.wake();
  assert.deepEqual(page.asked, ["discard 7"]);
});

test("what has become so meanwhile is not done a second time", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.toggle(1);
  await page.acts.onMessage("retry", failed);
  page.there.conversation.status = "Closed";
  page.there.messages = [{ id: 7, seq: 4, deliveryState: "sent" }];
  page.line.isDead = false;
  await page.acts.wake();
  assert.deepEqual(page.asked, []);
  assert.deepEqual(page.told.map(({ what }) => what), ["act.kept", "act.kept"]);
});

test("what became something else, or belongs to another log, is not done, and the page says so", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.onMessage("retry", failed);
  page.there.messages = [{ id: 7, seq: 9, deliveryState: "failed" }]; // sent again by somebody else, and failed
  page.line.isDead = false;
  await page.acts.wake();
  assert.deepEqual(page.told.map(({ what }) => what), ["act.kept", "overtaken"]);
  const before = start({ line: { isDead: true } });
  await before.acts.toggle(1);
  const after = start({ storage: before.storage, cursor: "b.1" });
  await after.acts.wake();
  assert.deepEqual(after.told.map(({ what }) => what), ["overtaken"]);
  assert.deepEqual([page.asked, after.asked], [[], []]);
});

test("a kept act that is refused is told with its reason, and not tried for ever", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.toggle(1);
  Object.assign(page.line, { isDead: false, refuses: "conversation_gone" });
  await page.acts.wake();
  assert.deepEqual(page.told.at(-1).what, "conversation_gone");
  assert.equal(Object.keys(page.storage).length, 0);
});

test("where nobody says that the line is back, it is tried again by itself", async () => {
  const page = start({ line: { isDead: true } });
  await page.acts.toggle(1);
  assert.equal(page.due.length, 1);
  page.line.isDead = false;
  page.due[0]();
  await new Promise((done) => setTimeout(done));
  assert.deepEqual(page.asked, ["Closed"]);
});
