// The server prints times in the agent's zone from the next page on.

import { find } from "../dom.js";

const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const { zone } = JSON.parse(find("#boot").textContent);
if (timeZone !== zone) document.cookie = `omni_tz=${encodeURIComponent(timeZone)}; path=/; max-age=31536000; SameSite=Lax`;
