import assert from "node:assert/strict";
import { test } from "node:test";
import { Resume } from "../../../web/static/js/resume.js";
import { settle } from "./clock.mjs";

const event = (seq) => ({ seq, kind: "conversation.updated", data: {} });
const events = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => event(first + index));

// A log as the server keeps it; `gates` hold answers back until the test lets them go.
function start(cursor, { epoch = "e", head = 0, floor = 1 } = {}) {
  const log = { epoch, head, floor, snapshots: 0, fails: 0, gate: Promise.resolve() };
  const applied = [];
  const resume = new Resume(cursor, {
    async fetchEvents(from, limit) {
      if (log.fails-- > 0) throw Object.assign(new Error("no line"), { kind: "offline" });
      const [itsEpoch, seq] = [from.split(".")[0], Number(from.split(".")[1])];
      const answer = itsEpoch !== log.epoch || seq + 1 < log.floor
        ? { cursor: `${log.epoch}.${log.head}`, events: [], reset: "too_old" }
        : pageOf(seq, limit);
      await log.gate;
      return answer;
    },
    async fetchSnapshot() {
      log.snapshots++;
      const at = `${log.epoch}.${log.head}`;
      await log.gate;
      return at;
    },
    apply: ({ seq }) => applied.push(seq),
    changed: () => {},
  });
  const pageOf = (seq, limit) => {
    const page = events(seq + 1, Math.min(log.head, seq + limit));
    return { cursor: `${log.epoch}.${page.at(-1)?.seq ?? log.head}`, events: page };
  };
  return { resume, log, applied };
}

test("events in order are applied, known ones dropped", () => {
  const { resume, applied } = start("e.10");
  resume.take("e", [event(11)]);
  resume.take("e", [event(11), event(12)]);
  assert.deepEqual(applied, [11, 12]);
  assert.equal(resume.cursor, "e.12");
  assert.equal(resume.isBehind, false);
});

test("a gap is fetched, and what the socket brings meanwhile comes once", async () => {
  const { resume, log, applied } = start("e.10", { head: 14 });
  let open;
  log.gate = new Promise((resolve) => (open = resolve));
  const filled = resume.take("e", [event(14)]);
  assert.equal(resume.isBehind, true);
  log.head = 15;
  resume.take("e", [event(15)]);
  open();
  await filled;
  assert.deepEqual(applied, [11, 12, 13, 14, 15]);
  assert.equal(resume.isBehind, false);
});

test("a long absence is fetched page by page", async () => {
  const { resume, applied } = start("e.0", { head: 250 });
  await resume.hear("e.250");
  assert.equal(applied.length, 250);
});

test("polling without news moves nothing", async () => {
  const { resume, applied } = start("e.10", { head: 10 });
  await resume.catchUp();
  assert.deepEqual(applied, []);
  assert.equal(resume.cursor, "e.10");
});

test("what the log no longer holds needs a snapshot", async () => {
  const { resume, log } = start("e.10", { head: 900, floor: 500 });
  await resume.catchUp();
  assert.equal(log.snapshots, 1);
  assert.equal(resume.cursor, "e.900");
});

test("another epoch needs a snapshot, and events heard while it was taken are not lost", async () => {
  const { resume, log, applied } = start("e.10", { epoch: "f", head: 3 });
  let open;
  log.gate = new Promise((resolve) => (open = resolve));
  const done = resume.take("f", [event(3)]);
  await settle();
  log.head = 4;
  resume.take("f", [event(4)]);
  open();
  await done;
  assert.equal(resume.cursor, "f.4");
  assert.deepEqual(applied, [4]);
});

test("a line that fails leaves the page behind, and the next try completes it", async () => {
  const { resume, log, applied } = start("e.10", { head: 12 });
  log.fails = 1;
  await assert.rejects(resume.hear("e.12"), { kind: "offline" });
  assert.equal(resume.isBehind, true);
  await resume.catchUp();
  assert.deepEqual(applied, [11, 12]);
  assert.equal(resume.isBehind, false);
});

test("a log that lost its end is noticed", async () => {
  const { resume, log } = start("e.10", { head: 12 });
  await resume.hear("e.20");
  assert.equal(log.snapshots, 1);
});
