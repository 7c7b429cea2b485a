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

test("the median of the last twenty; never below nothing", () => {
  const delay = new Delay();
  delay.hear(0);
  for (let n = 0; n < 20; n++) delay.note(AT, MS + 9_000);
  for (let n = 0; n < 20; n++) delay.note(AT, MS + (n === 0 ? 50_000 : 100));
  assert.equal(delay.median, 100);
  for (let n = 0; n < 20; n++) delay.note(AT, MS - 5_000);
  assert.equal(delay.median, 0);
});
