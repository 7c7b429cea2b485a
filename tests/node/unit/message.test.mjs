import assert from "node:assert/strict";
import { test } from "node:test";

import { createI18n } from "../../../web/static/js/i18n.js";
import { arrange } from "../../../web/static/js/message.js";

const strings = { "time.months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", "time.today": "Today" };
const NOW = "2026-07-18T09:01:05.204Z";
const i18n = createI18n({ lang: "en", digits: "latn", strings, now: () => new Date(NOW) });

const message = (id, more) => ({ id, senderType: "agent", senderName: "Asha", private: false, createdAt: NOW, ...more });

test("a reply on its way is not news", () => {
  const [, pending] = arrange([message(1), message(null)], null, i18n);
  assert.deepEqual([pending.isNew, pending.isStart], [false, false]);
});

test("the divider stands before the first new message and begins a group", () => {
  const [, second] = arrange([message(1), message(2)], 2, i18n);
  assert.deepEqual([second.isNew, second.isStart], [true, true]);
});
