// A query client of either major, a socket that tests hold in hand, and answers that come when they say so.
import { attachInboxPush } from "../../../web/static/js/react-query/inbox-push.js";

globalThis.window ??= globalThis; // else the library takes itself for a server, and does not poll
const wakers = new Set();
globalThis.addEventListener ??= (type, act) => type === "online" && wakers.add(act);
globalThis.removeEventListener ??= (type, act) => type === "online" && wakers.delete(act);

export const MAJORS = [["5", "@tanstack/query-core"], ["4", "query-core-4"]];

class Line {
  sent = [];
  closedWith = null;
  constructor(url) { this.url = url; }
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closedWith = code; }
  receive(...frames) { for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) }); }
  drop(code = 1006) { this.onclose({ code }); }
  welcome(mode = "live", cursor = "e.10", more = {}) {
    this.onopen();
    this.receive({ type: "welcome", mode, cursor, pingMs: 20_000, agent: { id: 7 }, ...more });
  }
}

export async function stage(packageName, options = {}) {
  const core = await import(packageName);
  const client = new core.QueryClient({ defaultOptions: { queries: { retry: false } } });
  client.mount();
  const lines = [];
  const push = attachInboxPush(client, {
    url: "ws://inbox.test/ws", random: () => 0.5, socket: (url) => lines[lines.push(new Line(url)) - 1], ...options,
  });
  const watched = [];
  await turn();
  return {
    client, push, lines,
    get line() { return lines.at(-1); },
    /** Poll as a component would; returns what it is shown and how often it was fetched. */
    watch(queryKey, answer, refetchInterval = 10_000) {
      const seen = { fetches: 0, data: undefined };
      const queryFn = async () => { seen.fetches += 1; return typeof answer === "function" ? answer(seen.fetches) : answer; };
      const observer = new core.QueryObserver(client, { queryKey, queryFn, refetchInterval, refetchIntervalInBackground: true, staleTime: 0 });
      watched.push(observer.subscribe(({ data }) => { seen.data = data; }));
      seen.observer = observer;
      return seen;
    },
    /** The machine is back from sleep, or on the network again. */
    wake() { for (const act of [...wakers]) act(); },
    end() {
      push.close();
      for (const stop of watched) stop();
      client.unmount();
      client.clear();
    },
  };
}

/** What fails uncaught while `act` runs and right after it, instead of ending the test. */
export async function uncaught(act) {
  const errors = [];
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => errors.push(error));
  try {
    await act();
    await turn();
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const other of others) process.on("uncaughtException", other);
  }
  return errors;
}

/** Let everything that is ready run, timers of no length included. */
export const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

export async function until(check, milliseconds = 5_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    try {
      if (check()) return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms: ${check}`);
    await turn();
  }
}

export const conversation = (id, seq, more = {}) => ({
  id, seq, status: "Open", platform: "chatwoot", lastMessageAt: `2026-07-18T09:01:${String(seq % 60).padStart(2, "0")}.000Z`, inboundCount: seq, ...more,
});
export const message = (id, seq, more = {}) => ({
  id, seq, conversationId: 1, content: `message ${id}`, createdAt: `2026-07-18T09:01:${String(id % 60).padStart(2, "0")}.000Z`, ...more,
});
export const event = (seq, kind, data) => ({ type: "event", seq, kind, at: "", receivedAt: "", data });
