import assert from "node:assert/strict";
import { test } from "node:test";
import { Live } from "../../../web/static/js/live.js";
import { Clock } from "./clock.mjs";

class Line {
  sent = [];
  closedWith = null;
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closedWith = code; }
  open() { this.onopen(); }
  receive(...frames) { for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) }); }
  fail(code) { this.onclose({ code }); }
}

function start(cursor = "e.10", random = () => 0.5) {
  const clock = new Clock();
  const lines = [];
  const heard = { states: [], seqs: [], heads: [], resets: [], aheads: [], asides: [] };
  const page = { clock, lines, heard, breaks: null, get line() { return lines.at(-1); } };
  const live = new Live({
    url: "/ws", agentId: 7, client: "tab", cursor,
    on: {
      state: ({ phase }) => heard.states.push(phase),
      events: (epoch, events) => {
        if (page.breaks === "events") throw new Error("a fault of the page");
        heard.seqs.push(...events.map(({ seq }) => seq));
      },
      head: (cursor) => heard.heads.push(cursor),
      reset: (reason) => heard.resets.push(reason),
      clock: (ahead) => heard.aheads.push(ahead),
      aside: (frame) => heard.asides.push(frame),
    },
    system: { ...pick(clock), random, open: () => lines[lines.push(new Line()) - 1] },
  });
  live.start();
  return Object.assign(page, { live });
}

const pick = ({ now, date, later, cancel }) => ({ now, date, later, cancel });
const event = (seq) => ({ type: "event", seq, kind: "message.created", data: {} });
const welcome = (mode, cursor, more = {}) => ({ type: "welcome", mode, cursor, pingMs: 20_000, ...more });

test("hello carries the cursor; nothing missed is live at once", () => {
  const page = start();
  page.line.open();
  assert.equal(page.line.sent[0].type, "hello");
  assert.equal(page.line.sent[0].cursor, "e.10");
  page.line.receive(welcome("live", "e.10"));
  assert.equal(page.live.state.phase, "live");
});

test("a replay is catching up until the server says live", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("replay", "e.12"), event(11), event(12));
  assert.equal(page.live.state.phase, "catching-up");
  page.line.receive({ type: "live", cursor: "e.12" });
  assert.equal(page.live.state.phase, "live");
  assert.deepEqual(page.heard.seqs, [11, 12]);
  assert.equal(page.live.cursor, "e.12");
});

test("a reset goes on from the head named by the server", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("reset", "f.3", { reason: "epoch" }), event(4));
  assert.deepEqual(page.heard.resets, ["epoch"]);
  assert.equal(page.live.cursor, "f.4");
});

test("an event twice is taken once; a gap makes it resume from where it stands", async () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"), event(11), event(11), event(13));
  assert.equal(page.lines[0].closedWith, 4210);
  await page.clock.pass(300);
  assert.equal(page.lines.length, 2);
  page.line.open();
  assert.equal(page.line.sent[0].cursor, "e.11");
  assert.deepEqual(page.heard.seqs, [11]);
});

test("a ping is answered with our cursor, and proves completeness", async () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"), { type: "ping", id: 5, cursor: "e.11" });
  assert.deepEqual(page.line.sent[1], { type: "pong", id: 5, cursor: "e.10" });
  await page.clock.pass(2_500);
  assert.equal(page.lines.length, 2, "the event the ping told of never came");
});

test("a ping that overtakes its event by a moment is no gap", async () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"), { type: "ping", id: 5, cursor: "e.11" }, event(11));
  await page.clock.pass(2_500);
  assert.equal(page.lines.length, 1);
});

test("silence for longer than a ping and a quarter is a dead line, noticed within 30 s, and its late close is not taken for its successor's", async () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  await page.clock.pass(24_900);
  assert.equal(page.lines.length, 1);
  await page.clock.pass(5_100);
  assert.equal(page.lines.length, 2);
  assert.equal(page.lines[0].onclose, null);
});

test("waking after a sleep notices the silence without waiting for a timer", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  page.clock.ms += 3_600_000;
  page.live.wake();
  assert.equal(page.live.state.phase, "waiting");
  page.live.wake();
  assert.equal(page.lines.length, 2);
});

test("unknown failures back off with jitter, doubling up to 20 s", async () => {
  const page = start("e.10", () => 1);
  const delays = [];
  for (let round = 0; round < 8; round++) {
    const failedAt = page.clock.ms;
    page.line.fail(1006);
    const opened = page.lines.length;
    while (page.lines.length === opened) await page.clock.pass(100);
    delays.push(page.clock.ms - failedAt);
  }
  assert.deepEqual(delays, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
});

test("30 s live make the next backoff short again", async () => {
  const page = start("e.10", () => 1);
  for (let round = 0; round < 5; round++) {
    page.line.fail(1006);
    await page.clock.pass(14_000);
  }
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  await page.clock.pass(20_000);
  page.line.receive({ type: "ping", id: 1, cursor: "e.10" });
  await page.clock.pass(11_000);
  page.line.fail(1006);
  await page.clock.pass(500);
  assert.equal(page.lines.length, 7);
});

test("4200-4299 resume at once, but not in a loop", async () => {
  const page = start("e.10", () => 1);
  page.line.fail(4208);
  await page.clock.pass(250);
  assert.equal(page.lines.length, 2);
  page.line.fail(4208);
  await page.clock.pass(250);
  assert.equal(page.lines.length, 2, "the second within 5 s backs off");
  await page.clock.pass(250);
  assert.equal(page.lines.length, 3);
});

test("4100-4199 back off for as long as the server says", async () => {
  const page = start("e.10", () => 0);
  page.line.open();
  page.line.receive({ type: "error", code: "overloaded", retryMs: 9_000, fatal: true });
  page.line.fail(4113);
  await page.clock.pass(8_900);
  assert.equal(page.lines.length, 1);
  await page.clock.pass(200);
  assert.equal(page.lines.length, 2);
});

test("4000-4099 are final", async () => {
  for (const [code, reason] of [[4001, "protocol"], [4003, "forbidden"], [4010, "outdated"]]) {
    const page = start();
    page.line.fail(code);
    await page.clock.pass(60_000);
    page.live.wake();
    assert.equal(page.lines.length, 1);
    assert.equal(page.live.state.reason, reason);
  }
});

test("asked to drain, it moves when it is told to", async () => {
  const page = start("e.10", () => 0);
  page.line.open();
  page.line.receive(welcome("live", "e.10"), { type: "drain", inMs: 4_000 });
  await page.clock.pass(3_900);
  assert.equal(page.lines.length, 1);
  await page.clock.pass(200);
  assert.equal(page.lines.length, 2);
});

test("frames of a later protocol are ignored", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"), { type: "of-tomorrow" });
  assert.equal(page.live.state.phase, "live");
});

test("what is viewed is told again after a reconnect", async () => {
  const page = start();
  page.live.tell({ type: "viewing", conversationId: 17 });
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  assert.deepEqual(page.line.sent.at(-1), { type: "viewing", conversationId: 17 });
  page.line.fail(1006);
  page.live.tell({ type: "typing", conversationId: 17, on: true }); // lost without harm
  await page.clock.pass(1_000);
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  assert.deepEqual(page.line.sent.map(({ type }) => type), ["hello", "viewing"]);
});

test("the server's time, and what colleagues do, are handed on", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10", { now: new Date(page.clock.ms + 700).toISOString() }), { type: "presence", online: 2 });
  assert.deepEqual(page.heard.aheads, [700]);
  assert.deepEqual(page.heard.asides, [{ type: "presence", online: 2 }]);
});

test("the clock that is set measures no silence; the one that stands still in a sleep is not trusted alone", async () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  page.clock.setBack = 3_600_000;
  await page.clock.pass(30_000);
  assert.equal(page.lines.length, 2, "set back an hour, a dead line is dead all the same");
  page.line.open();
  page.line.receive(welcome("live", "e.10"));
  page.clock.setBack -= 7_200_000; // slept for two hours, in which only the date went on
  page.live.wake();
  assert.equal(page.live.state.phase, "waiting");
});

test("a ping says up to where this line is, so that whoever listens can compare", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10"), event(11), { type: "ping", id: 5, cursor: "e.11" });
  assert.deepEqual(page.heard.heads, ["e.11"]);
});

test("an error of whoever listens ends nothing", () => {
  const page = start();
  const told = [];
  globalThis.reportError = ({ message }) => told.push(message); // which browsers have
  page.breaks = "events";
  page.line.open();
  page.line.receive(welcome("live", "e.10"), event(11));
  page.breaks = null;
  page.line.receive(event(12));
  assert.deepEqual(page.heard.seqs, [12]);
  assert.deepEqual(told, ["a fault of the page"]);
});

test("a line that the server takes for somebody else's ends", () => {
  const page = start();
  page.line.open();
  page.line.receive(welcome("live", "e.10", { agent: { id: 8 } }));
  assert.deepEqual(page.live.state.phase, "stopped");
  assert.equal(page.live.state.reason, "replaced");
});
