// The socket: connects, resumes by cursor, notices silence and gaps, backs off. No DOM and no store, so that it
// runs in a SharedWorker as well as in the page. The server beats; precise timers are never needed here, because
// hidden tabs do not get them.
//
// Phases: connecting -> catching-up -> live -> waiting (for the next try) -> connecting ...; stopped is final.

const BACKOFF_START_MS = 500;
const BACKOFF_MAX_MS = 20_000;
const PROVEN_MS = 30_000; // live this long: the next trouble starts from a short backoff again
const PUSHBACK_MS = 5_000; // what "back off first" means when the server does not say
const RESUME_SPREAD_MS = 250; // many clients are asked to resume at the same moment
const CHECK_EVERY_MS = 2_500;
const OPENING_MAX_MS = 15_000; // neither open nor refused: a middlebox swallows the upgrade
const GAP_GRACE_MS = 2_000; // a ping may overtake events by a moment, not by more
const DEFAULT_PING_MS = 20_000;
const SILENT_PINGS = 1.25; // a line that is silent for longer is dead: noticed within 30 s
const GAP = 4210;

const FINAL_REASONS = { 4003: "forbidden", 4010: "outdated" };

// Clocks, chance and network, which tests turn by hand. `now` goes on evenly, and some browsers stop it while the machine sleeps;
// `date` is what the machine takes for the time, and jumps when it is set.
export const SYSTEM = {
  now: () => performance.now(),
  date: () => Date.now(),
  random: () => Math.random(),
  later: (action, ms) => setTimeout(action, ms),
  cancel: (timer) => clearTimeout(timer),
  open: (url) => new WebSocket(url),
};

// How long nothing was heard. By both clocks: one is set by hand, the other may stand still in a sleep. Too long is only a reconnect.
export class Silence {
  #system;

  constructor(system = SYSTEM) {
    this.#system = system;
    this.end();
  }

  end() {
    this.#at = this.#system.now();
    this.since = this.#system.date();
  }

  get ms() {
    return Math.max(this.#system.now() - this.#at, this.#system.date() - this.since);
  }

  #at;
}

export class Live {
  #system;
  #url;
  #agentId;
  #client;
  #on;
  #epoch;
  #seq;
  #socket = null;
  #state = { phase: "waiting" };
  #retryTimer = null;
  #checkTimer = null;
  #silence;
  #liveSince = null;
  #quickResumeAt = -Infinity;
  #failures = 0;
  #pingMs = DEFAULT_PING_MS;
  #pushbackMs = null;
  #viewing = null;
  visible = true;

  // `on`: {state(state), events(epoch, events), head(cursor), reset(reason), clock(ms the server's is ahead, at least), aside(frame)}; an aside
  // is presence or typing: never stored, and lost without harm. `agentId`: whose line it is to be.
  constructor({ url, agentId, client, cursor, on, system = SYSTEM }) {
    this.#silence = new Silence(system);
    this.#url = url;
    this.#agentId = agentId;
    this.#client = client;
    this.#on = on;
    this.#system = system;
    this.#setCursor(cursor);
  }

  get state() {
    return this.#state;
  }

  get cursor() {
    return joinCursor(this.#epoch, this.#seq);
  }

  start() {
    if (this.#socket || this.#state.phase === "stopped") return;
    this.#system.cancel(this.#retryTimer);
    this.#watch();
    this.#open();
  }

  // Something happened after which the line may be dead, or possible again: the tab is shown, the network is back.
  wake() {
    if (this.#state.phase === "waiting") this.start();
    else if (this.#socket) this.#check();
  }

  stop(reason) {
    this.#system.cancel(this.#retryTimer);
    this.#system.cancel(this.#checkTimer);
    this.#drop(1000);
    this.#become({ phase: "stopped", reason, heardAt: this.#silence.since });
  }

  // To the colleagues: {type: "viewing" | "typing", ...}. What is viewed is told again after a reconnect.
  tell(frame) {
    if (frame.type === "viewing") this.#viewing = frame;
    if (this.#state.phase === "live") this.#socket.send(JSON.stringify(frame));
  }

  #open() {
    this.#become({ phase: "connecting" });
    this.#silence.end();
    this.#pushbackMs = null;
    const socket = this.#system.open(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#silence.end();
      socket.send(JSON.stringify({ type: "hello", agent: this.#agentId, client: this.#client, cursor: this.cursor, visible: this.visible }));
    };
    socket.onmessage = ({ data }) => this.#onFrame(JSON.parse(data));
    socket.onclose = ({ code }) => this.#onClose(code);
  }

  #onFrame(frame) {
    this.#silence.end();
    if (frame.now) this.#emit("clock", Date.parse(frame.now) - this.#silence.since);
    switch (frame.type) {
      case "welcome": return this.#onWelcome(frame);
      case "event": return this.#onEvent(frame);
      case "live": return this.#onLive();
      case "ping": return this.#onPing(frame);
      case "reset": return this.#onReset(frame);
      case "drain": return void this.#system.later(() => this.#resumeNow(this.#socket), frame.inMs);
      case "presence":
      case "typing": return this.#emit("aside", frame);
      case "error": return void (this.#pushbackMs = frame.retryMs ?? this.#pushbackMs);
    }
  }

  #onWelcome({ mode, reason, cursor, pingMs, agent }) {
    if (agent && this.#agentId && agent.id !== this.#agentId) return this.stop("replaced"); // in this browser
    this.#pingMs = pingMs ?? DEFAULT_PING_MS;
    if (mode === "replay") return this.#become({ phase: "catching-up", until: splitCursor(cursor).seq, seq: this.#seq });
    if (mode === "reset") this.#onReset({ reason, cursor });
    this.#onLive();
  }

  #onLive() {
    this.#liveSince = this.#system.now();
    this.#become({ phase: "live" });
    if (this.#viewing) this.tell(this.#viewing);
  }

  // Events go on arriving after the head named here; whoever holds a snapshot fetches it again by itself.
  #onReset({ reason, cursor }) {
    this.#setCursor(cursor);
    this.#emit("reset", reason);
  }

  #onEvent(event) {
    if (event.seq <= this.#seq) return;
    if (event.seq > this.#seq + 1) return this.#resumeNow(this.#socket);
    this.#seq = event.seq;
    this.#emit("events", this.#epoch, [event]);
  }

  #onPing({ id, cursor }) {
    this.#socket.send(JSON.stringify({ type: "pong", id, cursor: this.cursor }));
    this.#emit("head", this.cursor);
    const head = splitCursor(cursor);
    const socket = this.#socket;
    if (this.#state.phase !== "live" || head.seq <= this.#seq) return;
    this.#system.later(() => {
      if (this.#epoch === head.epoch && this.#seq < head.seq) this.#resumeNow(socket);
    }, GAP_GRACE_MS);
  }

  // The line is good but incomplete, or asked to move: come back at once with the cursor.
  #resumeNow(socket) {
    if (!socket || socket !== this.#socket) return;
    this.#drop(GAP);
    this.#onClose(GAP);
  }

  #onClose(code) {
    this.#forget();
    if (code >= 4000 && code < 4100) return this.stop(FINAL_REASONS[code] ?? "protocol");
    const wasProven = this.#liveSince !== null && this.#system.now() - this.#liveSince >= PROVEN_MS;
    if (wasProven) this.#failures = 0;
    const delay = this.#delay(code);
    this.#liveSince = null;
    this.#become({ phase: "waiting", heardAt: this.#silence.since });
    this.#system.cancel(this.#retryTimer);
    this.#retryTimer = this.#system.later(() => this.start(), delay);
  }

  #delay(code) {
    const { now, random } = this.#system;
    const isQuick = code >= 4200 && code < 4300 && now() - this.#quickResumeAt > PUSHBACK_MS;
    if (isQuick) {
      this.#quickResumeAt = now(); // a server that says "now" again and again is backed off from all the same
      return random() * RESUME_SPREAD_MS;
    }
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** this.#failures++);
    const pushback = code >= 4100 && code < 4200 ? (this.#pushbackMs ?? PUSHBACK_MS) : (this.#pushbackMs ?? 0);
    return pushback + random() * ceiling;
  }

  #watch() {
    this.#system.cancel(this.#checkTimer);
    this.#checkTimer = this.#system.later(() => {
      this.#watch();
      this.#check();
    }, CHECK_EVERY_MS);
  }

  #check() {
    if (!this.#socket) return;
    const limit = this.#state.phase === "connecting" ? OPENING_MAX_MS : SILENT_PINGS * this.#pingMs;
    if (this.#silence.ms <= limit) return;
    this.#drop(1000);
    this.#onClose(1006);
  }

  // A dead line would report its close minutes later, into the life of its successor.
  #drop(code) {
    const socket = this.#socket;
    this.#forget();
    socket?.close(code);
  }

  #forget() {
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket = null;
  }

  #setCursor(cursor) {
    ({ epoch: this.#epoch, seq: this.#seq } = splitCursor(cursor));
  }

  #become(state) {
    this.#state = state;
    this.#emit("state", state);
  }

  #emit(name, ...args) {
    try {
      this.#on[name]?.(...args);
    } catch (error) {
      reportError(error);
    }
  }
}

// A cursor is `epoch.seq`. To the rest of the page it is opaque; only what follows a stream takes it apart.

export function splitCursor(cursor) {
  const dot = cursor.lastIndexOf(".");
  return { epoch: cursor.slice(0, dot), seq: Number(cursor.slice(dot + 1)) };
}

export const joinCursor = (epoch, seq) => `${epoch}.${seq}`;
