// The drop-in for polling React Query apps, on both majors: what it shows, what it fetches, and what becomes of lines that break.
import assert from "node:assert/strict";
import { test as nodeTest } from "node:test";
import { MAJORS, conversation, event, message, stage, turn, uncaught, until } from "./stage.mjs";

function test(name, options, run) {
  if (typeof options === "function") [options, run] = [{}, options];
  for (const [major, packageName] of MAJORS)
    nodeTest(`v${major}: ${name}`, async () => {
      const on = await stage(packageName, options);
      try {
        await run(on);
      } finally {
        on.end();
      }
    });
}

const LIST = ["conversations"];
const rows = () => [conversation(2, 9), conversation(1, 8)];
const ids = (seen) => seen.data.map(({ id }) => id);
const thread = () => ({ ...conversation(1, 8), messages: [message(4, 7), message(5, 8)] });

test("says hello with the token and its cursor, and is live", { token: async () => "jwt" }, async (on) => {
  assert.equal(on.line.url, "ws://inbox.test/ws");
  on.line.welcome("reset", "e.10");
  assert.deepEqual([on.line.sent[0].type, on.line.sent[0].token, on.line.sent[0].cursor], ["hello", "jwt", null]);
  assert.equal(on.push.getSnapshot(), "live");
  on.line.drop();
  await until(() => on.lines.length === 2);
  on.line.welcome("live", "e.10");
  assert.equal(on.line.sent[0].cursor, "e.10");
});

test("an event replaces its row and moves it up, without a fetch", async (on) => {
  const list = on.watch(LIST, rows());
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11) }));
  await until(() => ids(list)[0] === 1);
  assert.equal(list.data[0].unreadCount, 11);
  assert.deepEqual(list.data[1], rows()[0]);
  const [top, second] = list.data;
  on.line.receive(event(12, "conversation.updated", { conversation: conversation(1, 12) }));
  await until(() => list.data[0] !== top);
  assert.equal(list.data[1], second, "a row nothing happened to stays the same object");
  await turn();
  assert.equal(list.fetches, 1);
});

test("a new conversation, or one that changes its status, makes the list fetch once", async (on) => {
  const answers = [rows(), [conversation(3, 30), ...rows()]];
  const list = on.watch(LIST, (n) => answers[Math.min(n, 2) - 1]);
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  for (let seq = 11; seq < 31; seq += 1) on.line.receive(event(seq, "conversation.updated", { conversation: conversation(3, seq) }));
  await until(() => ids(list).includes(3));
  assert.equal(list.fetches, 2);
});

test("with `accepts`, lists are kept without any fetch", { accepts: (one, key) => one.status === (key[1] ?? "Open") }, async (on) => {
  const open = on.watch(LIST, rows());
  const closed = on.watch([...LIST, "Closed"], []);
  await until(() => open.data && closed.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(11, "conversation.created", { conversation: conversation(3, 11) }));
  on.line.receive(event(12, "conversation.updated", { conversation: conversation(1, 12, { status: "Closed" }) }));
  await until(() => ids(closed).length === 1);
  assert.deepEqual([ids(open), ids(closed)], [[3, 2], [1]]);
  assert.deepEqual([open.fetches, closed.fetches], [1, 1]);
});

test("a message goes into its thread, once and in order, and into no other", async (on) => {
  const here = on.watch(["messages", 1], thread());
  const text = on.watch(["messages", "1"], [message(5, 8)]);
  const other = on.watch(["messages", 2], { ...conversation(2, 9), messages: [] });
  await until(() => here.data && other.data && text.data);
  on.line.welcome("live", "e.10");
  on.line.receive(
    event(11, "message.created", { conversation: conversation(1, 11), message: message(7, 11) }),
    event(12, "message.created", { conversation: conversation(1, 12), message: message(6, 12) }),
    event(12, "message.created", { conversation: conversation(1, 12), message: message(6, 12) }),
    event(13, "message.updated", { conversation: conversation(1, 13), message: message(5, 13, { content: "edited" }) }),
    event(14, "message.updated", { conversation: conversation(1, 14), message: message(1, 14) }), // on an older page
  );
  await until(() => here.data.seq === 14);
  assert.deepEqual(here.data.messages.map(({ id }) => id), [4, 5, 6, 7]);
  assert.equal(here.data.messages[1].content, "edited");
  await until(() => text.data.length === 3);
  assert.deepEqual(other.data.messages, []);
  assert.deepEqual([here.fetches, other.fetches, text.fetches], [1, 1, 1]);
});

test("keys of other forms are found, and nobody else's polls are stretched", {
  keys: { list: ["crm", "inbox"], thread: (id) => ["crm", { thread: Number(id) }] },
}, async (on) => {
  const list = on.watch(["crm", "inbox", { status: "Open" }], rows());
  const here = on.watch(["crm", { thread: 1 }], thread());
  await until(() => list.data && here.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11) }));
  await until(() => here.data.messages.length === 3 && ids(list)[0] === 1);
  const interval = (queryKey) => on.client.defaultQueryOptions({ queryKey, refetchInterval: 10 }).refetchInterval;
  assert.equal(interval(["messages", 1]), 10);
  assert.equal(interval(["crm", "inbox"])(), 120);
});

test("within a second Chatwoot's number says what was first, and a reply that gets one moves to its place", async (on) => {
  const at = (fraction, chatwootMessageId = null) => ({ createdAt: `2026-07-18T09:01:05.${fraction}Z`, chatwootMessageId });
  const here = on.watch(["messages", 1], { ...thread(), messages: [message(4, 7), message(5, 8, at("204", 88))] });
  await until(() => here.data);
  on.line.welcome("live", "e.10");
  on.line.receive(
    event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11, at("100")) }),
    event(12, "message.created", { conversation: conversation(1, 12), message: message(7, 12, at("000", 90)) }),
  );
  await until(() => here.data.seq === 12);
  assert.deepEqual(here.data.messages.map(({ id }) => id), [4, 5, 7, 6]);
  on.line.receive(event(13, "message.updated", { conversation: conversation(1, 13), message: message(6, 13, at("100", 89)) }));
  await until(() => here.data.seq === 13);
  assert.deepEqual(here.data.messages.map(({ id }) => id), [4, 5, 6, 7]);
});

test("a thread's key in one piece leaves everything else alone", { keys: { thread: (id) => [`thread-${id}`] } }, async (on) => {
  const here = on.watch(["thread-1"], thread());
  await until(() => here.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11) }));
  await until(() => here.data.messages.length === 3);
  assert.equal(on.client.defaultQueryOptions({ queryKey: ["customers"], refetchInterval: 10 }).refetchInterval, 10);
});

test("an answer that was under way does not overwrite what was pushed meanwhile", async (on) => {
  let finish;
  const here = on.watch(["messages", 1], (n) => (n === 1 ? thread() : new Promise((resolve) => { finish = () => resolve(thread()); })));
  await until(() => here.data);
  on.line.welcome("live", "e.10");
  on.client.refetchQueries({ queryKey: ["messages", 1] });
  await until(() => finish);
  on.line.receive(event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11) }));
  await until(() => here.data.messages.length === 3);
  finish();
  await until(() => here.observer.getCurrentResult().fetchStatus === "idle");
  await until(() => here.data.messages.length === 3);
  await turn();
  assert.deepEqual(here.data.messages.map(({ id }) => id), [4, 5, 6]);
});

test("a query that is fetched for the first time gets what was pushed meanwhile", async (on) => {
  on.line.welcome("live", "e.10");
  let finish;
  const here = on.watch(["messages", 1], () => new Promise((resolve) => { finish = () => resolve(thread()); }));
  await until(() => finish);
  on.line.receive(event(11, "message.created", { conversation: conversation(1, 11), message: message(6, 11) }));
  finish();
  await until(() => here.data?.messages.length === 3);
});

test("a first fetch that began before the first welcome is made again: it may be older than the cursor", async (on) => {
  let finish;
  const here = on.watch(["messages", 1], (n) => (n === 1 ? new Promise((resolve) => { finish = () => resolve({ ...thread(), messages: [] }); }) : thread()));
  await until(() => finish);
  on.line.welcome("reset", "e.10");
  await turn();
  finish();
  await until(() => here.data?.messages.length === 2);
  assert.equal(here.fetches, 2);
});

test("one's own reading clears the row's count; a colleague's does not", async (on) => {
  const list = on.watch(LIST, [conversation(1, 8, { readCount: 2, unreadCount: 6 })]);
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(11, "conversation.read", { conversation: conversation(1, 8), agentId: 99, readCount: 8, messageId: 5 }));
  await turn();
  assert.equal(list.data[0].unreadCount, 6);
  on.line.receive(event(12, "conversation.read", { conversation: conversation(1, 8), agentId: 7, readCount: 8, messageId: 5 }));
  await until(() => list.data[0].unreadCount === 0);
});

test("polls are stretched while live, and at their old pace at once when the line breaks", { random: () => 0.99 }, async (on) => {
  const list = on.watch(LIST, rows(), 60);
  const elsewhere = on.watch(["customers"], 1, 60);
  await until(() => list.data && elsewhere.data);
  on.line.welcome("live", "e.10");
  const before = [list.fetches, elsewhere.fetches];
  await until(() => elsewhere.fetches > before[1] + 16); // as often as ours would have come; stretched it comes once or twice
  assert.ok(list.fetches - before[0] <= 4, `${list.fetches - before[0]} fetches`);
  const { fetches } = list;
  on.line.drop();
  assert.equal(on.push.getSnapshot(), "polling");
  await until(() => list.fetches > fetches + 3);
});

test("an observer that was there before is stretched as well, and one with a function of its own is left alone", async (on) => {
  on.push.close();
  const list = on.watch(LIST, rows(), 60);
  const own = on.watch([...LIST, "own"], rows(), () => 60);
  await until(() => list.data && own.data);
  const { attachInboxPush } = await import("../../../web/static/js/react-query/inbox-push.js");
  let line;
  const push = attachInboxPush(on.client, { url: "ws://inbox.test/ws", socket: () => (line = { sent: [], send() {}, close() {} }) });
  await until(() => line);
  line.onopen();
  line.onmessage({ data: JSON.stringify({ type: "welcome", mode: "live", cursor: "e.1", pingMs: 20_000 }) });
  const [ours, theirs] = [list.fetches, own.fetches];
  await until(() => own.fetches > theirs + 6);
  assert.ok(list.fetches <= ours + 1);
  push.close();
  await until(() => list.fetches > ours + 3);
});

test("a line that is back at once has missed nothing, so nothing is fetched anew", { random: () => 0.9 }, async (on) => {
  const list = on.watch(LIST, rows());
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.drop(4200);
  await until(() => on.lines.length === 2);
  on.line.welcome("replay", "e.11");
  assert.equal(on.push.getSnapshot(), "catching-up");
  on.line.receive(event(11, "conversation.updated", { conversation: conversation(1, 11) }), { type: "live", cursor: "e.11" });
  assert.equal(on.push.getSnapshot(), "live");
  await until(() => ids(list)[0] === 1);
  assert.equal(list.fetches, 1);
});

test("a line that stays away makes everything be fetched once", async (on) => {
  const list = on.watch(LIST, rows());
  const here = on.watch(["messages", 1], thread());
  await until(() => list.data && here.data);
  on.line.welcome("live", "e.10");
  on.line.drop(4108); // wait before you come back
  await until(() => list.fetches === 2 && here.fetches === 2);
  assert.equal(on.lines.length, 1);
});

test("a gap is fetched, and what follows is taken", async (on) => {
  const list = on.watch(LIST, rows());
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.receive(event(13, "conversation.updated", { conversation: conversation(1, 13) }));
  await until(() => list.fetches === 2);
});

test("a reset on a live line fetches everything and goes on from its cursor", async (on) => {
  const list = on.watch(LIST, rows());
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.receive({ type: "reset", reason: "epoch", cursor: "f.3" });
  await until(() => list.fetches === 2);
  on.line.drop(4200);
  await until(() => on.lines.length === 2);
  on.line.onopen();
  assert.equal(on.line.sent[0].cursor, "f.3");
});

test("a final close code stops it; polling goes on", async (on) => {
  const list = on.watch(LIST, rows(), 40);
  await until(() => list.data);
  on.line.welcome("live", "e.10");
  on.line.drop(4003);
  assert.equal(on.push.getSnapshot(), "stopped");
  await until(() => list.fetches > 4);
  assert.equal(on.lines.length, 1);
});

test("without a word for too long the line counts as dead", async (on) => {
  const list = on.watch(LIST, rows());
  await until(() => list.data);
  on.line.welcome("live", "e.10", { pingMs: 20 });
  on.line.receive({ type: "ping", id: 4, cursor: "e.10" });
  assert.deepEqual(on.line.sent.at(-1), { type: "pong", id: 4, cursor: on.line.sent.at(-1).cursor });
  const silent = on.line;
  await until(() => silent.closedWith === 1000);
  await until(() => on.lines.length === 2);
});

test("a ping that names more than was heard means a gap: the line is made anew with the cursor, at once", async (on) => {
  on.line.welcome("live", "e.10");
  const incomplete = on.line;
  // pings that come faster than the patience with each of them must not put it off for ever
  const pings = setInterval(() => incomplete.receive({ type: "ping", id: 1, cursor: "e.11" }), 300);
  try {
    await until(() => incomplete.closedWith === 1000);
  } finally {
    clearInterval(pings);
  }
  await until(() => on.lines.length === 2);
  on.line.onopen();
  assert.equal(on.line.sent[0].cursor, "e.10");
});

test("an event that a ping has overtaken is no gap, and another epoch's head is none", async (on) => {
  on.line.welcome("live", "e.10");
  on.line.receive({ type: "ping", id: 1, cursor: "e.11" });
  on.line.receive(event(11, "conversation.updated", { conversation: conversation(1, 11) }));
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  on.line.receive({ type: "ping", id: 2, cursor: "f.40" });
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  assert.equal(on.line.closedWith, null);
  assert.equal(on.lines.length, 1);
});

for (const [name, clock] of [["goes on evenly", performance], ["shows the time", Date]])
  test(`woken after a sleep that only the clock that ${name} has counted, the line is made anew`, async (on) => {
    on.line.welcome("live", "e.10");
    const slept = on.line;
    on.wake();
    assert.equal(slept.closedWith, null);
    const now = clock.now;
    clock.now = () => now.call(clock) + 60_000;
    try {
      on.wake();
    } finally {
      clock.now = now;
    }
    assert.equal(slept.closedWith, 1000);
    await until(() => on.lines.length === 2);
  });

test("a listener that fails is told aloud, and keeps nobody else from hearing", async (on) => {
  const told = [];
  const stop = on.push.subscribe(() => { throw new Error("the component failed"); });
  on.push.subscribe(() => told.push(on.push.getSnapshot()));
  const errors = await uncaught(() => on.line.welcome("live", "e.10"));
  stop();
  assert.deepEqual(told, ["live"]);
  assert.deepEqual(errors.map(({ message }) => message), ["the component failed"]);
});

test("attached twice it is one socket; closed, the client is as it was", async (on) => {
  const { attachInboxPush } = await import("../../../web/static/js/react-query/inbox-push.js");
  assert.equal(attachInboxPush(on.client, {}), on.push);
  const told = [];
  on.push.subscribe(() => told.push(on.push.getSnapshot()));
  on.line.welcome("live", "e.10");
  on.push.close();
  assert.deepEqual(told, ["live", "stopped"]);
  assert.equal(on.line.closedWith, 1000);
  assert.equal(on.client.defaultQueryOptions({ queryKey: LIST, refetchInterval: 10 }).refetchInterval, 10);
});
