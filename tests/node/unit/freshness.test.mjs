import assert from "node:assert/strict";
import { test } from "node:test";
import { Freshness } from "../../../web/static/js/freshness.js";
import { Clock } from "./clock.mjs";

function start() {
  const clock = new Clock();
  const page = { clock, polls: 0, fails: false };
  const poll = async () => {
    page.polls++;
    if (page.fails) throw new Error("no line");
  };
  page.freshness = new Freshness({ poll, changed: () => {} }, clock);
  page.word = () => page.freshness.view.word;
  return page;
}

test("live needs both: a live line, and nothing missing", () => {
  const { freshness, word } = start();
  freshness.link({ phase: "live" });
  assert.equal(word(), "live");
  freshness.behind(3);
  assert.equal(word(), "catching-up");
  assert.equal(freshness.view.missing, 3);
  freshness.behind(false);
  assert.equal(word(), "live");
});

test("a break of less than 5 s causes no polling", async () => {
  const { freshness, word, clock, ...page } = start();
  freshness.link({ phase: "live" });
  freshness.link({ phase: "waiting" });
  assert.equal(word(), "reconnecting");
  await clock.pass(4_000);
  freshness.link({ phase: "live" });
  await clock.pass(60_000);
  assert.equal(page.polls, 0);
});

test("longer without a line it polls every 5 s, and says so", async () => {
  const page = start();
  page.freshness.link({ phase: "waiting" });
  await page.clock.pass(5_000);
  assert.equal(page.word(), "polling");
  await page.clock.pass(10_000);
  assert.equal(page.polls, 3);
  page.freshness.link({ phase: "live" });
  await page.clock.pass(60_000);
  assert.equal(page.polls, 3);
});

test("a page whose line never came polls as well", async () => {
  const page = start();
  await page.clock.pass(5_000);
  assert.equal(page.polls, 1);
});

test("when polling fails too it is offline, as of the last proof", async () => {
  const page = start();
  page.freshness.link({ phase: "live" });
  await page.clock.pass(60_000);
  const heardAt = page.clock.now() - 30_000;
  page.fails = true;
  page.freshness.link({ phase: "waiting", heardAt });
  await page.clock.pass(6_000);
  assert.equal(page.word(), "offline");
  assert.equal(page.freshness.view.asOf, heardAt);
  page.fails = false;
  await page.clock.pass(5_000);
  assert.equal(page.word(), "polling");
});

test("signed out is final and stops polling", async () => {
  const page = start();
  page.freshness.stop("signed-out");
  page.freshness.link({ phase: "waiting" });
  await page.clock.pass(60_000);
  assert.equal(page.word(), "stopped");
  assert.equal(page.polls, 0);
});
