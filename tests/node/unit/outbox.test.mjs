import assert from "node:assert/strict";
import { test } from "node:test";
import { adopt } from "../../../web/static/js/later/adopt.js";
import { Drafts, Outbox } from "../../../web/static/js/outbox.js";
import { request } from "../../../web/static/js/later/leases.js";
import { Clock, settle } from "./clock.mjs";

// localStorage as browsers give it: its keys are its own properties.
function newStorage() {
  return Object.create({
    getItem(key) { return this[key] ?? null; },
    setItem(key, value) { this[key] = value; },
    removeItem(key) { delete this[key]; },
  });
}

// Locks as browsers give them to all tabs: in the order they were asked for.
function newLocks() {
  const last = new Map();
  return (name, act) => {
    const done = (last.get(name) ?? Promise.resolve()).catch(() => {}).then(act);
    last.set(name, done);
    return done;
  };
}

function start(answers, storage = newStorage(), { clock = new Clock(), lock = newLocks(), wall = clock.now, name = "key" } = {}) {
  const posted = [];
  const told = { heard: [] };
  const kept = new Map();
  const held = { keepFiles: (key, files) => kept.set(key, files), readFiles: async (key) => kept.get(key), dropFiles: (key) => kept.delete(key) };
  let count = 0;
  const outbox = new Outbox({
    owner: "1.7", storage, files: held,
    post: async (entry) => {
      posted.push(entry);
      const answer = await answers.shift();
      if (answer instanceof Error) throw answer;
      return answer ?? { id: 100 + posted.length, clientId: entry.clientId };
    },
    on: { changed: () => {}, heard: (messages) => told.heard.push(...messages) },
    system: { now: () => wall(), elapsed: clock.now, id: () => `${name}-${++count}`, later: clock.later, lock },
  });
  return { outbox, posted, told, clock, storage, kept };
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

test("files that another tab is about to keep are waited for", async () => {
  const writer = start([trouble("offline")]);
  writer.outbox.add({ ...reply("a bill"), files: [{ name: "a.txt" }] });
  await settle();
  const { outbox, posted, clock, kept } = start([], writer.storage, { name: "other" });
  outbox.restore();
  await settle();
  assert.deepEqual([states(outbox), posted], [["waiting"], []]);
  kept.set("key-1", [{ name: "a.txt" }]);
  await clock.pass(5_000);
  assert.deepEqual([states(outbox), posted.map(({ content }) => content)], [[], ["a bill"]]);
});

test("a reply whose files are lost says so", async () => {
  const writer = start([trouble("offline")]);
  writer.outbox.add({ ...reply("a bill"), files: [{ name: "a.txt" }] });
  await settle();
  const { outbox, posted, clock } = start([], writer.storage, { name: "other" });
  outbox.restore();
  await settle();
  await clock.pass(30_000);
  assert.deepEqual([outbox.of(1).map(({ state, error }) => [state, error.code]), posted], [[["failed", "files_lost"]], []]);
});

test("the line coming back does not wait for the timer", async () => {
  const { outbox, posted } = start([trouble("offline")]);
  outbox.add(reply("hello"));
  await settle();
  outbox.wake();
  await settle();
  assert.equal(posted.length, 2);
});

for (const name of ["QuotaExceededError", "NS_ERROR_DOM_QUOTA_REACHED", "SecurityError"]) {
  test(`a reply the browser does not keep is not taken: ${name}`, async () => {
    const storage = newStorage();
    Object.getPrototypeOf(storage).setItem = () => { throw Object.assign(new Error("full"), { name }); };
    const { outbox, posted, kept } = start([], storage);
    assert.equal(outbox.add({ ...reply("hello"), files: [{ name: "a.txt" }] }), null);
    await settle();
    assert.deepEqual([posted, outbox.of(1), [...kept]], [[], [], []]);
    const drafts = new Drafts("1.7", storage);
    assert.equal(drafts.set(1, true, "a note"), false);
    assert.deepEqual([drafts.get(1, true), drafts.get(1, false)], ["a note", ""]);
  });
}

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

// Two pages of one browser: one storage, of which each is told what the other changed, one clock, locks that are free again
// when a page dies.
function startTabs(count, answers = []) {
  const clock = new Clock();
  const wall = { ahead: 0 };
  const lock = newLocks();
  const shared = newStorage();
  const tabs = [];
  const open = (restores = true) => {
    const tab = { isAlive: true };
    const tell = (key) => setImmediate(() => tabs.forEach((other) => other !== tab && other.isAlive && other.outbox.hear(key)));
    const storage = new Proxy(shared, {
      get: (target, name) => ({
        setItem: (key, value) => tab.isAlive && (target.setItem(key, value), tell(key)),
        removeItem: (key) => tab.isAlive && (target.removeItem(key), tell(key)),
      })[name] ?? (typeof target[name] === "function" ? target[name].bind(target) : target[name]),
    });
    // a dead page does nothing any more, and what it waits for in a lock ends
    const locked = (name, act) => lock(name, () => (tab.isAlive ? Promise.race([act(), new Promise((done) => { tab.die = done; })]) : undefined));
    Object.assign(tab, start(answers, storage, { clock: tabClock(clock, tab), lock: locked, wall: () => clock.ms + wall.ahead, name: `tab${tabs.length}` }));
    tabs.push(tab);
    if (restores) tab.outbox.restore();
    return tab;
  };
  const close = (tab) => {
    tab.isAlive = false;
    tab.die?.();
  };
  for (let n = 0; n < count; n++) open();
  return { tabs, open, close, clock, wall, shared };
}

const tabClock = (clock, tab) => ({ get ms() { return clock.ms; }, now: clock.now, later: (action, ms) => clock.later(() => tab.isAlive && action(), ms) });
const textsOf = (tabs) => tabs.flatMap(({ posted }) => posted.map(({ content }) => content));

test("what can still be taken back waits, whatever other page is opened meanwhile", async () => {
  const { tabs, open, clock } = startTabs(1);
  tabs[0].outbox.add(reply("hasty"), 10_000);
  await clock.pass(1_000);
  open();
  await clock.pass(8_900);
  assert.deepEqual(textsOf(tabs), []);
  assert.deepEqual(states(tabs[1].outbox), ["undo"]);
  await clock.pass(1_000);
  assert.deepEqual(textsOf(tabs), ["hasty"]);
  assert.deepEqual(states(tabs[1].outbox), []);
});

test("what one page takes back is gone in all, and every page can", async () => {
  const { tabs, clock } = startTabs(3);
  tabs[0].outbox.add(reply("one"), 5_000);
  tabs[0].outbox.add(reply("two"), 5_000);
  await clock.pass(1_000);
  assert.equal(tabs[2].outbox.discard(tabs[2].outbox.of(1)[0].clientId).content, "one");
  await clock.pass(1);
  assert.deepEqual(tabs.map(({ outbox }) => outbox.of(1).map(({ content }) => content)), [["two"], ["two"], ["two"]]);
  await clock.pass(20_000);
  assert.deepEqual(textsOf(tabs), ["two"]);
});

test("a page that died leaves what it had to send to the others, or to the next one", async () => {
  const { tabs, open, close, clock } = startTabs(2);
  tabs[0].outbox.add(reply("for the neighbour"), 5_000);
  await clock.pass(2_000);
  close(tabs[0]);
  await clock.pass(3_200);
  assert.deepEqual(textsOf(tabs), []);
  await clock.pass(200);
  assert.deepEqual(textsOf(tabs), ["for the neighbour"]);
  tabs[1].outbox.add(reply("for the next"), 5_000);
  await clock.pass(2_000);
  close(tabs[1]);
  await clock.pass(60_000);
  assert.deepEqual(textsOf(tabs), ["for the neighbour"]);
  open();
  await clock.pass(400);
  assert.deepEqual(textsOf(tabs), ["for the neighbour", "for the next"]);
});

test("it is sent in one page at a time, and once", async () => {
  let answer;
  const { tabs, open, clock } = startTabs(2, [new Promise((done) => { answer = done; })]);
  const { clientId } = tabs[0].outbox.add(reply("slow"));
  await clock.pass(10);
  open();
  for (const { outbox } of tabs) outbox.wake();
  await clock.pass(30_000);
  assert.deepEqual(textsOf(tabs), ["slow"]);
  assert.equal(tabs[2].outbox.discard(clientId), null);
  answer({ id: 1, clientId });
  await clock.pass(30_000);
  assert.deepEqual(textsOf(tabs), ["slow"]);
  assert.deepEqual(tabs.map(({ outbox }) => states(outbox)), [[], [], []]);
});

for (const jump of [3_600_000, -3_600_000]) {
  test(`a clock that is set by ${jump} ms neither hurries nor holds it`, async () => {
    const { tabs, clock, wall } = startTabs(2);
    tabs[0].outbox.add(reply("on time"), 5_000);
    await clock.pass(1);
    wall.ahead = jump;
    await clock.pass(4_998);
    assert.deepEqual(textsOf(tabs), []);
    assert.deepEqual(tabs.map(({ outbox }) => states(outbox)), [["undo"], ["undo"]]);
    await clock.pass(400);
    assert.deepEqual(textsOf(tabs), ["on time"]);
  });
}

test("a page that finds it after the clock was set back waits no longer than the time to take it back", async () => {
  const { tabs, open, close, clock, wall } = startTabs(1);
  tabs[0].outbox.add(reply("found"), 5_000);
  await clock.pass(1);
  close(tabs[0]);
  wall.ahead = -3_600_000;
  open();
  await clock.pass(5_400);
  assert.deepEqual(textsOf(tabs), ["found"]);
});

test("in its last moment it can be taken back or is sent, and never both", async () => {
  for (const at of [4_999, 5_000, 5_001, 5_299, 5_300]) {
    const { tabs, clock } = startTabs(2);
    tabs[0].outbox.add(reply("text"), 5_000);
    await clock.pass(at);
    const taken = tabs[1].outbox.of(1).map(({ clientId }) => tabs[1].outbox.discard(clientId)).filter(Boolean);
    await clock.pass(10_000);
    assert.equal(taken.length + textsOf(tabs).length, 1, String(at));
  }
});

test("another page's wish to send at once, or anyway, is heard", async () => {
  const { tabs, clock } = startTabs(2, [trouble("refused", "newer_messages", { messages: [] })]);
  tabs[0].outbox.add(reply("text"), 5_000);
  await clock.pass(10);
  tabs[1].outbox.release(1);
  await clock.pass(10);
  assert.deepEqual(tabs.map(({ outbox }) => states(outbox)), [["held"], ["held"]]);
  tabs[1].outbox.sendAnyway(tabs[1].outbox.of(1)[0].clientId);
  await clock.pass(10);
  assert.deepEqual(tabs.map(({ outbox }) => states(outbox)), [[], []]);
  assert.equal(textsOf(tabs).length, 2);
});

test("a page that wakes up learns what the others did meanwhile", async () => {
  const { tabs, clock, shared } = startTabs(1);
  tabs[0].outbox.add(reply("text"), 5_000);
  await clock.pass(10);
  for (const key of Object.keys(shared)) shared.removeItem(key); // taken back by a page whose events nobody heard
  tabs[0].outbox.restore();
  await clock.pass(10_000);
  assert.deepEqual([textsOf(tabs), states(tabs[0].outbox)], [[], []]);
});

test("one unexpected error ends nothing", async (t) => {
  t.mock.method(console, "error", () => {});
  const { outbox, posted, clock } = start([new TypeError("a fault of ours")]);
  outbox.add(reply("first"));
  outbox.add(reply("second"));
  await settle();
  await clock.pass(10_000);
  assert.deepEqual(posted.map(({ content }) => content), ["first", "second", "first"]);
  assert.deepEqual(states(outbox), []);
  assert.equal(console.error.mock.callCount(), 1);
});

test("an entry that cannot be read holds nobody up", async () => {
  const storage = newStorage();
  storage.setItem("omni:outbox:1.7:broken", "{");
  const { outbox, posted } = start([], storage);
  outbox.restore();
  outbox.add(reply("hello"));
  await settle();
  assert.equal(posted.length, 1);
});

test("another agent's replies and drafts are neither seen nor sent", async () => {
  const storage = newStorage();
  const first = start([trouble("offline")], storage);
  first.outbox.add({ ...reply("theirs"), isPrivate: true });
  await settle();
  new Drafts("1.7", storage).set(1, false, "their draft");
  for (const owner of ["1.70", "1.8", "2.7", "7"]) assert.equal(new Drafts(owner, storage).first(1), null);
  const other = start([], Object.assign(newStorage(), ...Object.keys(storage).map((key) => ({ [key.replace("1.7", "1.70")]: storage[key] }))));
  other.outbox.restore();
  await settle();
  assert.deepEqual([other.posted, other.outbox.of(1)], [[], []]);
});

test("drafts are kept by kind", () => {
  const drafts = new Drafts("1.7", newStorage());
  drafts.set(5, true, "among us");
  assert.deepEqual([drafts.get(5, false), drafts.get(5, true), drafts.first(51)], ["", "among us", null]);
  assert.deepEqual(drafts.first(5), { text: "among us", isNote: true });
  drafts.set(5, false, "to the customer");
  assert.deepEqual([drafts.get(5, false), drafts.get(5, true)], ["to the customer", "among us"]);
  assert.deepEqual(drafts.first(5), { text: "to the customer", isNote: false });
  drafts.set(5, true, " ");
  assert.equal(drafts.get(5, true), "");
});

test("what an earlier version kept comes back, and no draft of it where replies are written", async () => {
  const storage = newStorage();
  storage.setItem("omni:draft:7:5", "was it a note?");
  storage.setItem("omni:draft:70:5", "somebody else's");
  storage.setItem("omni:outbox:7:old-1", JSON.stringify({ ...reply("a note"), isPrivate: true, clientId: "old-1", createdAt: "2026-07-18", state: "undo", names: [], tries: 0 }));
  storage.setItem("omni:outbox:7:old-2", JSON.stringify({ conversationId: 1, content: "of no kind", clientId: "old-2", createdAt: "2026-07-19", state: "waiting", names: [], tries: 1 }));
  storage.setItem("omni:outbox:7:old-3", "{");
  adopt(storage, "1.7", 7);
  const drafts = new Drafts("1.7", storage);
  assert.deepEqual([drafts.get(5, false), drafts.get(5, true)], ["", "was it a note?"]);
  assert.equal(storage.getItem("omni:draft:70:5"), "somebody else's");
  const { outbox, posted, clock } = start([], storage, { wall: Date.now });
  outbox.restore();
  await clock.pass(60_000);
  assert.deepEqual(posted.map(({ content, isPrivate }) => [content, isPrivate]), [["a note", true], ["of no kind", true]]);
  adopt(storage, "1.7", 7);
  assert.equal(drafts.get(5, true), "was it a note?");
});

test("without the browser's locks a lease in the storage lets one page act at a time", async () => {
  const clock = new Clock();
  const storage = newStorage();
  const order = [];
  const ask = (who, ms) => request("a", async () => {
    order.push(`${who} begins`);
    await new Promise((done) => clock.later(done, ms));
    order.push(`${who} ends`);
    return who;
  }, storage, clock);
  storage.setItem("omni:lease:a", JSON.stringify(["a page that died", clock.ms + 4_000]));
  const both = [ask("one", 20_000), ask("two", 10)];
  await clock.pass(3_900);
  assert.deepEqual(order, []);
  await clock.pass(10_000);
  assert.deepEqual(order, ["one begins"]);
  assert.ok(JSON.parse(storage.getItem("omni:lease:a"))[1] > clock.ms); // renewed
  await clock.pass(60_000);
  assert.deepEqual(order, ["one begins", "one ends", "two begins", "two ends"]);
  assert.deepEqual(await Promise.all(both), ["one", "two"]);
  assert.equal(Object.keys(storage).length, 0);
});

test("a lease gives way to an error, and to an end that a set clock made far away", async () => {
  const clock = new Clock();
  const storage = newStorage();
  storage.setItem("omni:lease:a", JSON.stringify(["before the clock was set", clock.ms + 3_600_000]));
  const failing = assert.rejects(request("a", () => Promise.reject(new Error("no")), storage, clock), /no/);
  const after = request("a", () => "after", storage, clock);
  await clock.pass(1_000);
  await failing;
  assert.equal(await after, "after");
});

test("what goes with a reply outlives a storage that is full", () => {
  const storage = newStorage();
  const drafts = new Drafts("1.7", storage);
  drafts.setExtras(5, { cc: "boss@a.example" });
  storage.setItem = () => { throw new Error("full"); };
  drafts.setExtras(5, { cc: "" });
  assert.deepEqual(drafts.extras(5), { cc: "" });
});

test("a reply that has gone leaves nothing of what went with it", () => {
  const storage = newStorage();
  const drafts = new Drafts("1.7", storage);
  drafts.setExtras(5, {});
  drafts.setExtras(6, { quote: { id: 1 } });
  drafts.setExtras(6, { quote: undefined });
  assert.deepEqual(Object.keys(storage), []);
});

test("a broken entry of what goes with a reply is none", () => {
  const storage = newStorage();
  const drafts = new Drafts("1.7", storage);
  for (const broken of ["{", "5", "null"]) {
    storage[`${drafts.key(5, false)}:extras`] = broken;
    assert.deepEqual({ ...drafts.extras(5) }, {}, broken);
  }
});

test("what went with a reply is had back with it", () => {
  const { outbox } = start([]);
  const extras = { quote: { id: 1 }, cc: "" };
  const { clientId } = outbox.add({ ...reply("hello"), extras }, 5_000);
  assert.deepEqual(outbox.discard(clientId).extras, extras);
});
