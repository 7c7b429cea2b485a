// Gives the page its line: through a SharedWorker, so that all tabs of a browser share one socket, else a socket
// of its own. Both look the same from here. A worker can die with the tab that made it, or stand still, and nobody says so: it
// proves that it lives by a lock, which ends with it, and by a beat where there are no locks or it stands still. A page makes it anew.

import { lazily, pass } from "./api.js";
import { Live, Silence } from "./live.js";

const ANSWER_MAX_MS = 3_000; // a worker that does not answer by then is not there
const SILENCE_MAX_MS = 15_000; // three beats
const CHECK_EVERY_MS = 2_500;

// The one place where a string becomes the address of a script.
const policy = globalThis.trustedTypes?.createPolicy("inbox", { createScriptURL: (url) => url });

// `options`: {wsUrl, agentId, client, cursor() -> string, on: {state, events, head, reset, clock, aside}}
export function openLine({ wsUrl, ...more }) {
  const url = new URL(wsUrl, location.href); // sockets take relative addresses only in newer browsers
  url.protocol = url.protocol.replace("http", "ws");
  const options = { ...more, wsUrl: url.href };
  const isRefused = new URLSearchParams(location.search).get("transport") === "page";
  return isRefused || !("SharedWorker" in globalThis) ? inPage(options) : inWorker(options);
}

function inPage({ wsUrl, agentId, client, cursor, on }) {
  const live = new Live({ url: wsUrl, agentId, client, cursor: cursor(), on });
  live.visible = !document.hidden;
  live.start();
  return {
    wake: () => live.wake(),
    leave: () => {},
    rejoin: () => live.wake(),
    stop: (reason) => live.stop(reason),
    tell: (frame) => live.tell(frame),
  };
}

function inWorker(options) {
  const { on, wsUrl, client, cursor, agentId } = options;
  const url = new URL("live-worker.js", import.meta.url).href;
  const silence = new Silence();
  let port = null;
  let mostMs; // of silence
  let isNew; // and has not answered yet
  let waiting; // for the lock
  let viewing = null;
  const loadLife = lazily(() => import("./later/worker-life.js"));
  const post = (type, more) => port.postMessage({ type, ...more });
  const line = {
    wake: () => check() || post("wake"),
    leave() {
      waiting.abort();
      post("leave");
    },
    rejoin() {
      silence.end();
      waiting?.abort();
      waiting = new AbortController();
      mostMs = ANSWER_MAX_MS;
      post("join", { wsUrl, agentId, client, cursor: cursor(), visible: !document.hidden });
      if (viewing) post("tell", { frame: viewing });
    },
    stop(reason) {
      clearInterval(timer);
      waiting.abort();
      post("stop", { reason });
    },
    tell(frame) {
      if (frame.type === "viewing") viewing = frame;
      post("tell", { frame });
    },
  };
  const connect = () => {
    port?.close();
    isNew = true;
    const worker = new SharedWorker(policy?.createScriptURL(url) ?? url,
      { type: "module", name: `inbox-${agentId}`, extendedLifetime: true });
    worker.onerror = () => worker.port === port && fallBack();
    port = worker.port;
    port.onmessage = ({ data: { type, args } }) => {
      silence.end();
      mostMs = SILENCE_MAX_MS;
      isNew = false;
      if (type === "head") post("here");
      if (type === "again") line.rejoin();
      if (type === "life") watch(waiting.signal, ...args);
      on[type]?.(...args);
    };
    line.rejoin();
  };
  // Whoever holds the line goes on with a socket of this page's.
  const fallBack = () => {
    clearInterval(timer);
    waiting.abort();
    port.close();
    port = null;
    Object.assign(line, inPage(options));
    if (viewing) line.tell(viewing);
  };
  const watch = (signal, name) => loadLife().then(({ onEnd }) => onEnd(name, signal, renew)).catch(pass);
  const renew = () => {
    on.state({ phase: "waiting", heardAt: silence.since });
    if (isNew) fallBack();
    else connect();
  };
  // Whether the worker was silent for too long, and something was done about it.
  const check = () => {
    if (silence.ms <= mostMs) return false;
    renew();
    return true;
  };
  const timer = setInterval(check, CHECK_EVERY_MS);
  connect();
  return line;
}
