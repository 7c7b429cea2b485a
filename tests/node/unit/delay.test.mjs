import assert from "node:assert/strict";
import { test } from "node:test";
import { Delay } from "../../../web/static/js/freshness.js";

const AT = "2026-07-18T09:00:00.000Z";
const MS = Date.parse(AT);

test("nothing is said before anything was measured", () => {
  const delay = new Delay();
  assert.equal(delay.median, null);
  delay.note(AT, MS); // no frame has told the server's time yet
  assert.equal(delay.median, null);
});

test("a clock that is wrong here does not count: the frame that came quickest sets it right", () => {
  const delay = new Delay();
  delay.hear(59_000);
  delay.hear(60_000);
  delay.hear(40_000);
  delay.note(AT, MS - 60_000 + 250);
  assert.equal(delay.median, 250);
});

test("the server's clock goes on evenly here, whatever is done to the machine's", () => {
  const printedAt = MS;
  const delay = new Delay(printedAt);
  assert.ok(Math.abs(delay.serverNow() - printedAt) < 1_000); // before any frame: by when the page was printed
  const wall = Date.now;
  try {
    delay.hear(60_000);
    const told = delay.serverNow();
    assert.ok(Math.abs(told - wall() - 60_000) < 1_000);
    Date.now = () => wall() + 86_400_000; // set
    assert.ok(Math.abs(delay.serverNow() - told) < 1_000);
    delay.hear(-Infinity); // of a worker that has heard nothing
    assert.ok(Math.abs(delay.serverNow() - told) < 1_000);
  } finally {
    Date.now = wall;
  }
});

test("the median of the last twenty; never below nothing", () => {
  const delay = new Delay();
  delay.hear(0);
  for (let n = 0; n < 20; n++) delay.note(AT, MS + 9_000);
  for (let n = 0; n < 20; n++) delay.note(AT, MS + (n === 0 ? 50_000 : 100));
  assert.equal(delay.median, 100);
  for (let n = 0; n < 20; n++) delay.note(AT, MS - 5_000);
  assert.equal(delay.median, 0);
});
