// The browser's own socket module, as a program for tests/conformance: node --experimental-websocket conformance_client.mjs ws://... CURSOR
import { Live } from "../../web/static/js/live.js";

const live = new Live({
  url: process.argv[2], client: "0b0e1c1e-0000-4000-8000-000000000001", cursor: process.argv[3],
  on: {
    state: ({ phase }) => { if (phase === "stopped") setTimeout(() => process.exit(0), 50); },
    events: (epoch, events) => { for (const { seq } of events) console.log(seq); },
    reset: () => {}, clock: () => {}, aside: () => {},
  },
});
live.start();
