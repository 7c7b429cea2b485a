// What a page costs before it is shown: a budget, so that it grows by decision and not by habit.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync } from "node:zlib";

const STATIC = new URL("../../../web/static/", import.meta.url);
const SCRIPTS_MAX_BYTES = 25_000; // all modules, each compressed as it is served
const STYLES_MAX_BYTES = 15_000; // as written

test("all scripts together stay within 25 kB of brotli", () => {
  const files = readdirSync(new URL("js/", STATIC)).map((name) => readFileSync(new URL(`js/${name}`, STATIC)));
  const bytes = files.reduce((total, file) => total + brotliCompressSync(file).length, 0);
  assert.ok(bytes <= SCRIPTS_MAX_BYTES, `${bytes} bytes`);
});

test("the style sheet stays within 15 kB", () => {
  const { length } = readFileSync(new URL("app.css", STATIC));
  assert.ok(length <= STYLES_MAX_BYTES, `${length} bytes`);
});
