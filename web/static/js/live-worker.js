// Hosts the one socket of a browser for all its tabs. Each tab has its own cursor: whoever joins gets the state
// and what it lacks from the ring; what the ring no longer holds it fetches over REST by itself. Every few seconds each tab is told
// how far the line is: a beat that proves to it that the line lives, and whether it has everything.

import { Colleagues } from "./later/colleagues.js";
import { Live, splitCursor } from "./live.js";

const RING_MAX = 500;
const BEAT_EVERY_MS = 5_000;
const GONE_MS = 60_000; // a tab that answered beats and stopped: crashed, or frozen and joins again

const ports = new Map(); // port -> when it answered a beat; null: never yet
const colleagues = new Colleagues(); // for tabs that come later
const viewing = new Map(); // port -> the frame that says what it shows
let live = null;
let ring = []; // the newest events, of one epoch
let ringEpoch = null;
let life = null; // the name of a lock that lasts as long as this worker does
let ahead = -Infinity; // the server's clock, for tabs that come later

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => onRequest(port, data);
};

// Tabs wait for it: they get it when this worker has died, and know at once.
navigator.locks?.request(`omni:life:${performance.timeOrigin}:${Math.random()}`, ({ name }) => {
  tell("life")((life = name));
  return new Promise(() => {});
});

setInterval(() => {
  for (const [port, at] of ports) if (at !== null && performance.now() - at > GONE_MS) forget(port);
  if (live) tell("head")(live.cursor);
}, BEAT_EVERY_MS);

function onRequest(port, { type, ...request }) {
  switch (type) {
    case "join": return onJoin(port, request);
    case "here": return ports.has(port) ? void ports.set(port, performance.now()) : port.postMessage({ type: "again", args: [] });
    case "leave": return forget(port);
    case "wake": return live?.wake();
    case "tell": return live?.tell(merged(port, request.frame));
    case "stop": return live?.stop(request.reason);
  }
}

function onJoin(port, { wsUrl, agentId, client, cursor, visible }) {
  ports.set(port, null);
  if (life) port.postMessage({ type: "life", args: [life] });
  if (!live || live.state.phase === "stopped") {
    const on = { state: tell("state"), events: onEvents, reset: tell("reset"), clock: onClock, aside: onAside };
    live = new Live({ url: wsUrl, agentId, client, cursor, on });
    live.visible = visible;
    live.start();
    return;
  }
  port.postMessage({ type: "state", args: [live.state] });
  const { epoch, seq } = splitCursor(cursor);
  const missed = epoch === ringEpoch ? ring.filter((event) => event.seq > seq) : [];
  if (missed.length) port.postMessage({ type: "events", args: [ringEpoch, missed] });
  port.postMessage({ type: "head", args: [live.cursor] });
  port.postMessage({ type: "clock", args: [ahead] });
  port.postMessage({ type: "aside", args: [colleagues.frame] });
  live.wake();
}

function forget(port) {
  ports.delete(port);
  if (viewing.has(port)) live.tell(merged(port, { type: "viewing", conversationId: null }));
}

function onEvents(epoch, events) {
  if (epoch !== ringEpoch) ring = [];
  ringEpoch = epoch;
  ring.push(...events);
  if (ring.length > RING_MAX) ring = ring.slice(-RING_MAX / 2);
  tell("events")(epoch, events);
}

function onClock(ms) {
  ahead = Math.max(ahead, ms);
  tell("clock")(ms);
}

function onAside(frame) {
  colleagues.apply(frame);
  tell("aside")(frame);
}

// One agent looks at one conversation, whatever the number of tabs: the one that was told last and is still looked at. A tab that is
// hidden may say so after another has been shown.
function merged(port, frame) {
  if (frame.type === "typing") return frame;
  viewing.delete(port);
  if (frame.conversationId) viewing.set(port, frame);
  return [...viewing.values()].at(-1) ?? frame;
}

function tell(type) {
  return (...args) => {
    for (const port of ports.keys()) port.postMessage({ type, args });
  };
}
