// Starts the page: takes over what the server printed, and wires line, store and views. Knows everybody.

import { Api, lazily, pass } from "./api.js";
import { Composer } from "./composer.js";
import { find, setAttrs, throttle } from "./dom.js";
import { Delay, Freshness } from "./freshness.js";
import { createI18n } from "./i18n.js";
import { List } from "./list.js";
import { openLine } from "./live-client.js";
import { Navigation, queryOf } from "./navigation.js";
import { showUnread } from "./notify.js";
import { Drafts, Outbox } from "./outbox.js";
import { Reads } from "./reads.js";
import { Resume } from "./resume.js";
import { SenderLine } from "./sender.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";
import * as files from "./uploads.js";

const FIRST_PAGE = 50;
const PAGE_MOST = 500; // the server gives no more at once
const AGAIN_MS = 3_000;

const boot = JSON.parse(find("#boot").textContent);
document.documentElement.dataset.js = "";

const countSoon = throttle(() => countUnread(), 300);
const asked = new Set(); // conversations whose readCount is on its way
let stale = null; // timer of the next try to fetch a list that could not be had
let again = null; // timer of the next try to catch up
let lastWord = null; // of the chip

const i18n = createI18n({ ...boot, serverNow: () => delay.serverNow() });
const store = new Store(boot.agent.id);
const api = new Api({ agentId: boot.agent.id, onSignedOut: stop });
const reads = new Reads(store, () => resume.cursor);
const owner = `${boot.agent.companyId}.${boot.agent.id}`; // of what this browser keeps
if (Object.keys(localStorage).some((key) => /^omni:(draft|outbox):\d+:/.test(key))) {
  await import("./later/adopt.js").then(({ adopt }) => adopt(localStorage, owner, boot.agent.id), () => {}); // the next page does it
}
const drafts = new Drafts(owner, localStorage);
const status = new Status(i18n);
const delay = new Delay(boot.printedAt);
const navigation = new Navigation(onView);
const app = { ...boot, acts, store, api, reads, delay, i18n, drafts, get view() { return navigation.view; }, get cursor() { return resume.cursor; } };

const sender = (app.sender = new SenderLine(app, boot.senders));
const outbox = (app.outbox = new Outbox({
  owner,
  storage: localStorage,
  post: (...reply) => api.reply(...reply),
  files,
  on: {
    changed: () => paint() ?? store.recount({}),
    heard: (messages) => messages.forEach((message) => store.loadMessage(message)),
    closed: (...given) => import("./later/closed.js").then(({ giveBack }) => giveBack(app, ...given), () => {}), // else its bubble says it
  },
}));

const resume = new Resume(boot.cursor, {
  fetchEvents: (cursor, limit) => api.events(cursor, limit),
  fetchSnapshot,
  apply: onEvent,
  changed: () => freshness.behind(resume.isBehind && resume.missing),
});

const freshness = new Freshness({ poll: () => resume.catchUp(), changed: onFreshness });

store.recount(boot.unread);
store.load(boot.list.items);
// Pages for browsers without script go further back: what is newer is not in them.
const isNewest = (what) => !new URLSearchParams(location.search).has(what);
if (boot.thread && isNewest("before")) store.loadThread(boot.thread, FIRST_PAGE);
const list = (app.list = new List(app, boot.list));
const thread = (app.thread = new Thread(app));
const composer = new Composer(app);
onOpened({ isFresh: true });
if (!isNewest("before_list")) onFilter(navigation.view);
navigation.catchUp();
list.paint();
outbox.restore();
showUnread(app);

// What the first look at the page does not need is fetched when it is used, or once the page is live: later there may be no line.
const loadPresence = lazily(async () => {
  const { Presence } = await import("./later/presence.js");
  return (app.presence = new Presence(app, (frame) => line.tell(frame)));
});
const presence = (act) => loadPresence().then(act).catch(pass);
const { sound, notifications } = boot.preferences;
const loadAlerts = lazily(async () => (await import("./later/alerts.js")).bindAlerts(app, (id) => navigation.go({ openId: id })));
const palette = find("#palette");
const loadPalette = lazily(async () => (await import("./later/palette.js")).bindPalette(palette, app, (view) => navigation.go(view)));

const loadZone = lazily(() => import("./later/zone.js"));
const loadLost = lazily(() => import("./later/lost-files.js"));
document.addEventListener("error", ({ target }) => target.dataset?.f === "file" && loadLost().then(({ showLost }) => showLost(target, i18n)).catch(pass), true);
const loadActs = lazily(async () => new (await import("./later/acts.js")).Acts(app, { owner, status, loadToast }));
const loadBanner = lazily(async () => (await import("./later/banner.js")).bindBanner(i18n));
const loadToast = lazily(async () => new (await import("./later/toast.js")).Toast(i18n));

const line = openLine({
  wsUrl: boot.wsUrl,
  agentId: boot.agent.id,
  client: `${Math.random()}`,
  cursor: () => resume.cursor,
  on: {
    state: onLink,
    events: (epoch, events) => follow(resume.take(epoch, events)),
    head: (cursor) => follow(resume.hear(cursor)),
    reset: () => follow(resume.reset()),
    clock: (ahead) => delay.hear(ahead),
    aside: (frame) => presence((it) => it.apply(frame)),
  },
});

const loadKeys = lazily(async () => (await import("./later/keys.js")).bindKeys({
  palette: { dialog: palette, load: loadPalette },
  isOn: boot.preferences.shortcuts,
  onSwitch: (shortcuts) => acts((it) => it.prefer({ shortcuts })),
  actions: {
    KeyJ: () => list.neighbour(1)?.focus(),
    KeyK: () => list.neighbour(-1)?.focus(),
    KeyR: () => composer.turnTo(false) ?? composer.focus(),
    KeyN: () => composer.turnTo(true) ?? composer.focus(),
    KeyE: () => find("#toggle").click(),
    Slash: () => find("#q").focus(),
    KeyU: () => loadToast().then((toast) => toast.act()).catch(pass),
    Escape: () => navigation.go({ openId: null }),
  },
}));
loadKeys().catch(pass);
presence((it) => it.look());
find("#toggle").addEventListener("click", () => acts((it) => it.toggle(navigation.view.openId)));
find("#sign-out").addEventListener("submit", () => line.stop("signed-out"));

// Whoever opens the inbox here is who is signed in: pages of somebody else show and send nothing more.
addEventListener("storage", ({ key, newValue }) => (key === "omni:agent" && newValue !== owner ? stop("replaced") : outbox.hear(key)));
try {
  localStorage.setItem("omni:agent", owner);
} catch {} // full, or forbidden: the server refuses what is sent as somebody else
addEventListener("online", () => freshness.online(true) ?? line.wake());
addEventListener("offline", () => freshness.online(false));
// Whoever comes back to this page finds it live, or hears that it is not theirs any more: each answer compares who is signed in.
const look = () => line.wake() ?? sender.renew() ?? countSoon();
addEventListener("focus", look);
document.addEventListener("visibilitychange", () => (document.hidden ? composer.save() : look()));
addEventListener("pagehide", () => {
  composer.save();
  line.leave();
});
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  composer.restore();
  outbox.restore();
  line.rejoin();
});
// Texts that tell how long ago: every minute, and at midnight "today" becomes "yesterday".
setInterval(paint, 60_000);

function paint() {
  list.paint();
  thread.paint();
}

function onEvent(event) {
  const isForeign = store.unread(event.data.conversation?.id) === null && event.kind !== "conversation.created";
  store.apply(event);
  reads.note(event);
  if (isForeign) countSoon();
  const { conversation, message } = event.data;
  if (message?.senderType === "customer" && event.kind.endsWith(".created")) onCustomer(event);
  if (message?.clientId) outbox.confirm(message.clientId);
  if (message) sender.hear(message);
  // First heard of here: how far the agent has read it only REST tells.
  if (conversation && store.unread(conversation.id) === null) askReadCount(conversation.id);
}

// What was missed and fetched later says nothing about the line, and a hidden page shows nothing.
function onCustomer(event) {
  if (sound || notifications) loadAlerts().then((alert) => alert(event)).catch(pass);
  if (lastWord !== "live" || document.hidden) return;
  requestAnimationFrame(() => {
    delay.note(event.at, Date.now());
    onFreshness(freshness.view);
  });
}

async function askReadCount(id) {
  if (asked.has(id)) return;
  asked.add(id);
  await reads.run(() => api.conversation(id), ({ data }) => store.load([data])).catch(pass)
    .finally(() => asked.delete(id));
}

// Without a line: counted again when it is back.
function countUnread() {
  return reads.count(() => api.unread(), () => store.counts(), (...counts) => store.recount(...counts)).catch(pass);
}

// The list before the thread: its cursor is the older one, and what comes after it is applied again, harmlessly. As much of both as was
// there before, so that whoever reads further down stays where they are; and one message more, which tells whether there are older ones.
async function fetchSnapshot() {
  const { view } = navigation;
  const limit = (held) => Math.min(PAGE_MOST, Math.max(FIRST_PAGE, held));
  const page = await api.conversations({ ...view, limit: limit(list.length) });
  const most = limit(store.messages(view.openId).length + 1);
  const opened = view.openId && (await api.thread(view.openId, { limit: most })).data;
  if (navigation.view !== view) return fetchSnapshot(); // the agent went elsewhere meanwhile
  store.replace(page.items, opened, most);
  list.renew(page);
  return page.cursor;
}

// What could not be fetched is fetched a little later, for as long as the page is behind.
function follow(work) {
  work?.catch((error) => {
    clearTimeout(again);
    again = setTimeout(() => resume.isBehind && follow(resume.catchUp()), AGAIN_MS);
    pass(error);
  });
}

function onLink(state) {
  freshness.link(state);
  // Who is let in nowhere any more has signed out elsewhere, or lost access: REST tells which.
  if (state.reason === "forbidden") countUnread();
}

function onFreshness(view) {
  status.show({ ...view, delay: delay.median });
  loadBanner().then((show) => show(view)).catch(pass);
  if (view.word !== lastWord && (view.word === "live" || view.word === "polling")) {
    outbox.wake();
    acts((it) => it.wake());
    thread.wake();
    if (stale) onFilter(navigation.view);
    if (resume.cursor !== boot.cursor) countSoon();
    for (const load of [loadKeys, composer.loadExtras, composer.loadCanned, loadPalette, loadToast, loadZone]) load().catch(pass);
  }
  lastWord = view.word;
}

function stop(reason) {
  line.stop(reason);
  freshness.stop(reason);
}

function onView(view, before) {
  if (view.openId !== before.openId) onOpened();
  if (queryOf(view) !== queryOf(before)) onFilter(view);
  list.paint();
  // What had the focus is hidden now.
  if (!view.openId && before.openId) list.focus(before.openId);
}

function onOpened({ isFresh = false } = {}) {
  const { view } = navigation;
  document.body.dataset.pane = view.openId ? "thread" : "list";
  if (view.openId) composer.open(view.openId);
  else composer.save();
  thread.open(view.openId);
  if (!isFresh) presence((it) => it.look());
  list.paint();
  find("a.back").href = `/inbox${queryOf(view)}`;
  // A phone's keyboard would hide the conversation that was just opened.
  if (view.openId && !isFresh && matchMedia("(pointer: fine)").matches) composer.focus();
}

async function onFilter(view) {
  for (const link of document.querySelectorAll("a[data-view]")) {
    setAttrs(link, { "aria-current": link.dataset.view === (view.unsent ? "unsent" : (view.status ?? "all")) && "page" });
  }
  store.recount({}); // a view that nothing is in goes with its last look
  // Without a line what is known here is searched, and the list says so.
  const page = await reads.run(() => api.conversations({ ...view, limit: FIRST_PAGE }), ({ items }) => store.load(items)).catch(pass);
  if (queryOf(navigation.view) !== queryOf(view)) return;
  clearTimeout(stale);
  stale = page ? null : setTimeout(() => onFilter(navigation.view), AGAIN_MS);
  find("#searched").hidden = !stale;
  if (page) list.show(page);
  else list.renew({ items: [] });
}

function acts(act) {
  return loadActs().then(act).catch((error) => pass(error) ?? status.say(i18n.t("act.offline")));
}
