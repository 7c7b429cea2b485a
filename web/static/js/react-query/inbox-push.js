// Makes a polling React Query app (v4 or v5) push-fed, without a change to its components: one call of attachInboxPush.
// While the socket is live, polls of the inbox's queries are stretched, and events go straight into the cache; without it the app polls as
// it did. No dependencies: copy this file, or import it from the server. docs/polling.md tells how to use it.
const STRETCH = 12; // 10 s -> 2 min, 5 s -> 1 min: a safety net, never off
const BACKOFF = { first: 500, most: 20_000, calm: 30_000, asked: 5_000 };
const REFETCH_MS = 1_000; // one query is refetched at most so often, however many events ask for it
const RESUME_MS = 1_500; // a line that is back within this has missed nothing, so nothing is fetched anew
const SILENT_PINGS = 1.25;
const GRACE_MS = 2_000; // a ping may overtake events by a moment, not by more
const FINAL = (code) => code >= 4000 && code < 4100;
const attached = new WeakMap();

export function attachInboxPush(client, options = {}) {
  let push = attached.get(client);
  if (!push) attached.set(client, (push = new InboxPush(client, options)));
  return push.face;
}

class InboxPush {
  #client; #keys; #accepts; #url; #token; #open; #random; #restore; #unsubscribe;
  #status = "connecting"; #listeners = new Set(); #intervals = new Map();
  #socket = null; #cursor = null; #agentId = null; #attempts = 0; #liveSince = 0; #pingMs = 20_000;
  #timers = {}; #waiting = new Map(); #refetched = new WeakMap(); #heardAt = [0, 0]; #isClosed = false;

  constructor(client, { url = "/ws", token = null, keys = {}, accepts = null, socket = (at) => new WebSocket(at), random = Math.random }) {
    this.#client = client;
    this.#keys = { list: ["conversations"], thread: (id) => ["messages", id], ...keys };
    this.#accepts = accepts;
    [this.#url, this.#token, this.#open, this.#random] = [url, token, socket, random];
    this.face = Object.freeze({
      subscribe: (listener) => (this.#listeners.add(listener), () => this.#listeners.delete(listener)),
      getSnapshot: () => this.#status,
      interval: (milliseconds) => this.#interval(milliseconds),
      close: () => this.#close(),
    });
    this.#restore = this.#wrapDefaults();
    this.#unsubscribe = client.getQueryCache().subscribe(({ type, query }) => type === "updated" && this.#settled(query));
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener?.("visibilitychange", this.#wake);
    this.#retime();
    this.#connect();
  }

  // -- polls ------------------------------------------------------------------------------------------------------------

  #interval(milliseconds) {
    if (!this.#intervals.has(milliseconds))
      this.#intervals.set(milliseconds, () => (this.#status === "live" ? milliseconds * STRETCH : milliseconds));
    return this.#intervals.get(milliseconds);
  }

  // Both majors pass every observer's options through here; a plain number becomes a function that asks whether the socket is live.
  #wrapDefaults() {
    const client = this.#client;
    const original = client.defaultQueryOptions;
    client.defaultQueryOptions = (given) => {
      const ready = original.call(client, given);
      if (typeof ready.refetchInterval !== "number" || !this.#isOurs(ready.queryKey)) return ready;
      return { ...ready, refetchInterval: this.#interval(ready.refetchInterval) };
    };
    return () => { client.defaultQueryOptions = original; };
  }

  // A function is asked again only when its query is updated: after a change of status the timers are set anew by hand.
  #retime() {
    for (const query of this.#ours()) for (const observer of query.observers) observer.setOptions({ ...observer.options, _defaulted: false });
  }

  // -- queries ----------------------------------------------------------------------------------------------------------

  #isOurs(key) {
    if (!Array.isArray(key)) return false;
    // the thread's key with a number nobody has: up to where the number stands, that is the key of any thread
    const sample = this.#keys.thread("\u0000");
    const thread = sample.slice(0, Math.max(0, sample.findIndex((part) => JSON.stringify(part).includes("\\u0000"))));
    return begins(key, this.#keys.list) || (thread.length > 0 && begins(key, thread));
  }

  #ours() { return this.#client.getQueryCache().getAll().filter((query) => this.#isOurs(query.queryKey)); }
  #lists() { return this.#ours().filter(({ queryKey }) => begins(queryKey, this.#keys.list)); }
  #threads(id) {
    const keys = [this.#keys.thread(id), this.#keys.thread(String(id))]; // addresses hold text, objects a number
    return this.#client.getQueryCache().getAll().filter(({ queryKey }) => Array.isArray(queryKey) && keys.some((key) => begins(queryKey, key)));
  }

  #apply(event) {
    const { conversation, message } = event.data;
    for (const query of this.#lists()) this.#patch(query, (rows) => this.#intoList(rows, event, query));
    for (const query of this.#threads(conversation.id)) this.#patch(query, (thread) => intoThread(thread, conversation, message));
  }

  // While a query is being fetched its answer may be older than the event, and would overwrite it: the event is applied again after it.
  #patch(query, change) {
    if (query.state.fetchStatus === "fetching") this.#afterFetch(query, () => this.#patch(query, change));
    const data = query.state.data;
    if (data === undefined) return;
    const patched = change(data);
    if (patched === undefined) this.#refetch(query);
    else if (patched !== data) this.#client.setQueryData(query.queryKey, patched);
  }

  #afterFetch(query, act) {
    if (!this.#waiting.has(query)) this.#waiting.set(query, []);
    this.#waiting.get(query).push(act);
  }

  #settled(query) {
    const waiting = this.#waiting.get(query);
    if (!waiting || query.state.fetchStatus === "fetching") return;
    this.#waiting.delete(query);
    // not inside the cache's own notification
    queueMicrotask(() => { for (const act of waiting) survive(act); });
  }

  // A row that is there and stays where its list's filter put it is replaced; anything else is the server's to say.
  #intoList(rows, { kind, data: { conversation, agentId, readCount } }, query) {
    if (!Array.isArray(rows)) return undefined;
    const held = rows.find(({ id }) => id === conversation.id);
    const isWanted = this.#accepts?.(conversation, query.queryKey);
    if (!this.#accepts && (!held || held.status !== conversation.status)) return undefined;
    if (held && (held.seq ?? 0) >= conversation.seq && kind !== "conversation.read") return rows;
    const others = rows.filter((row) => row !== held);
    if (isWanted === false) return held ? others : rows;
    const isOwnRead = kind === "conversation.read" && (agentId ?? this.#agentId) === this.#agentId;
    const reads = Math.max(held?.readCount ?? 0, isOwnRead ? readCount : 0);
    const newer = held && (held.seq ?? 0) > conversation.seq ? held : conversation;
    const row = { ...held, ...newer, readCount: reads, unreadCount: Math.max(0, (newer.inboundCount ?? 0) - reads) };
    return [row, ...others].sort(newestFirst);
  }

  // As often as needed, but not more: a burst of events is one refetch at its begin and one at its end.
  #refetch(query) {
    const last = this.#refetched.get(query);
    if (last?.timer) return;
    const wait = Math.max(0, (last?.at ?? -REFETCH_MS) + REFETCH_MS - performance.now());
    const timer = setTimeout(() => {
      this.#refetched.set(query, { at: performance.now() });
      // one under way may have begun before the event and is not taken for the answer; a query's very first cannot be put off
      if (query.state.data === undefined && query.state.fetchStatus === "fetching") this.#afterFetch(query, () => this.#refetch(query));
      else this.#client.invalidateQueries({ queryKey: query.queryKey, exact: true }, { cancelRefetch: true });
    }, wait);
    this.#refetched.set(query, { at: last?.at ?? -REFETCH_MS, timer });
  }

  #refetchAll() { for (const query of this.#ours()) if (query.state.data !== undefined || query.state.fetchStatus === "fetching") this.#refetch(query); }

  // -- socket -----------------------------------------------------------------------------------------------------------

  async #connect() {
    if (this.#isClosed || this.#socket) return;
    const place = {};
    this.#socket = place; // taken, also while the token is fetched
    try {
      const token = typeof this.#token === "function" ? await this.#token() : this.#token;
      if (this.#isClosed || this.#socket !== place) return;
      const socket = this.#open(address(this.#url));
      this.#socket = socket;
      socket.onopen = () => socket.send(JSON.stringify({ type: "hello", token: token ?? undefined, cursor: this.#cursor, client: crypto.randomUUID?.() }));
      socket.onmessage = ({ data }) => this.#socket === socket && this.#heard(JSON.parse(data));
      socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
      this.#watch();
    } catch {
      this.#lost(1006);
    }
  }

  #heard(frame) {
    this.#watch();
    if (frame.type === "welcome") this.#welcomed(frame);
    else if (frame.type === "event") this.#event(frame);
    else if (frame.type === "live") this.#become("live");
    else if (frame.type === "ping") this.#pinged(frame);
    else if (frame.type === "reset") this.#reset(frame.cursor);
    else if (frame.type === "drain") this.#after("drain", frame.inMs, () => this.#leave(4200));
  }

  #welcomed({ mode, cursor, pingMs, agent }) {
    [this.#pingMs, this.#agentId, this.#liveSince] = [pingMs, agent?.id ?? null, performance.now()];
    clearTimeout(this.#timers.refetch);
    this.#cursor ??= cursor;
    if (mode === "replay") this.#become("catching-up");
    else {
      if (mode === "reset") this.#reset(cursor);
      this.#become("live");
    }
  }

  #event(frame) {
    const [epoch, seq] = place(this.#cursor);
    if (frame.seq <= seq) return; // heard already
    this.#cursor = `${epoch}.${frame.seq}`;
    if (frame.seq > seq + 1) this.#refetchAll(); // a gap, which the server never leaves; nothing is shown on trust all the same
    this.#apply(frame);
  }

  // Silence means that nothing happened only if we have everything up to the head that the ping names.
  #pinged({ id, cursor }) {
    this.#socket.send(JSON.stringify({ type: "pong", id, cursor: this.#cursor }));
    if (this.#status !== "live") return;
    // one check at a time: a ping that put the check of the one before off would put it off for ever
    this.#timers.gap ??= setTimeout(() => {
      this.#timers.gap = null;
      const [[epoch, seq], [ours, own]] = [place(cursor), place(this.#cursor)];
      if (epoch === ours && seq > own) this.#leave(4210);
    }, GRACE_MS);
  }

  #reset(cursor) {
    this.#cursor = cursor;
    this.#refetchAll();
  }

  #leave(code) {
    const socket = this.#socket;
    this.#lost(code);
    socket?.close?.(1000);
  }

  #lost(code) {
    const wasLive = this.#status === "live" || this.#status === "catching-up";
    if (wasLive && performance.now() - this.#liveSince >= BACKOFF.calm) this.#attempts = 0;
    this.#socket = null;
    clearTimeout(this.#timers.silence);
    clearTimeout(this.#timers.drain);
    clearTimeout(this.#timers.gap);
    this.#timers.gap = null;
    this.#become(FINAL(code) ? "stopped" : "polling");
    if (wasLive) this.#after("refetch", RESUME_MS * this.#random(), () => this.#refetchAll());
    if (!FINAL(code)) this.#after("retry", this.#pause(code), () => this.#connect());
  }

  // Resume at once when asked to, once; else full jitter, so that not everybody comes back at the same moment.
  #pause(code) {
    const n = this.#attempts++;
    if (code >= 4200 && code < 4300 && n === 0) return 0;
    const least = code >= 4100 && code < 4200 ? BACKOFF.asked : 0;
    return least + this.#random() * Math.min(BACKOFF.most, BACKOFF.first * 2 ** n);
  }

  #hurry = () => {
    if (this.#socket || this.#status === "stopped") return;
    clearTimeout(this.#timers.retry);
    this.#connect();
  };

  // A line can die without a word; the server pings, so silence means that.
  #watch() {
    this.#heardAt = [performance.now(), Date.now()];
    this.#after("silence", this.#pingMs * SILENT_PINGS, () => this.#leave(1006));
  }

  // Timers stand still in a sleep, and in a tab that is frozen: by either clock, whichever went on.
  #wake = () => {
    if (!this.#socket) return this.#hurry();
    const silent = Math.max(performance.now() - this.#heardAt[0], Date.now() - this.#heardAt[1]);
    if (silent > this.#pingMs * SILENT_PINGS) this.#leave(1006);
  };

  #after(name, milliseconds, act) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(act, milliseconds);
  }

  #become(status) {
    if (this.#isClosed || status === this.#status) return;
    this.#status = status;
    this.#retime();
    for (const listener of [...this.#listeners]) survive(listener);
  }

  #close() {
    if (this.#isClosed) return;
    this.#become("stopped");
    this.#isClosed = true;
    attached.delete(this.#client);
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener?.("visibilitychange", this.#wake);
    this.#unsubscribe();
    this.#restore();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close?.(1000);
  }
}

// An error of whoever listens is told, and ends nothing of ours.
function survive(act) {
  try {
    act();
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
}

const begins = (key, prefix) => prefix.every((part, n) => JSON.stringify(key[n]) === JSON.stringify(part));
const text = (value) => value ?? "";
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const newestFirst = (a, b) => compare(text(b.lastMessageAt), text(a.lastMessageAt)) || b.id - a.id;
// By the second; in it by Chatwoot's number, as the fraction is known of some messages only.
const second = ({ createdAt }) => text(createdAt).slice(0, 19);
const number = ({ chatwootMessageId }) => chatwootMessageId ?? Infinity;
const oldestFirst = (a, b) => compare(second(a), second(b)) || compare(number(a), number(b)) || a.id - b.id;

function place(cursor) {
  const dot = (cursor ?? "").lastIndexOf(".");
  return dot < 0 ? ["", -1] : [cursor.slice(0, dot), Number(cursor.slice(dot + 1))];
}

function address(url) {
  const full = new URL(url, globalThis.location?.href);
  full.protocol = full.protocol.replace("http", "ws");
  return full.href;
}

// A thread is the conversation with `messages`, or the messages alone. undefined: in a form we do not know.
function intoThread(thread, conversation, message) {
  const messages = Array.isArray(thread) ? thread : thread?.messages;
  if (!Array.isArray(messages)) return undefined;
  const after = message ? intoMessages(messages, message) : messages;
  if (Array.isArray(thread)) return after;
  const isNewer = conversation.seq > (thread.seq ?? 0);
  if (!isNewer && after === messages) return thread;
  return { ...thread, ...(isNewer ? conversation : {}), messages: after };
}

function intoMessages(messages, message) {
  const held = messages.find(({ id }) => id === message.id);
  // its place may have changed: a reply gets Chatwoot's time and number
  if (held) return (held.seq ?? 0) >= message.seq ? messages : messages.map((one) => (one === held ? message : one)).sort(oldestFirst);
  // older than the page that is loaded: it is on another one
  if (messages.length && oldestFirst(message, messages[0]) < 0) return messages;
  return [...messages, message].sort(oldestFirst);
}
