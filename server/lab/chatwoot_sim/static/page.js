// The page of the simulated Chatwoot: asks for an overview once a second, and writes text with textContent only.

const POLL_MS = 1000;
const TYPING_MS = 5000;
const byId = (id) => document.getElementById(id);
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

let chosen = Number(sessionStorage.getItem('customer')) || null;
let shownIds = new Set();
let shownCustomer = null;
let typingSentAt = 0;
let asking = 0;
let changingSwitches = 0;

async function call(path, body) {
  const options = body === undefined
    ? {}
    : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(10_000) });
  const decoded = await answer.json();
  if (!answer.ok) throw new Error(decoded.error ?? `The simulator answered ${answer.status}.`);
  return decoded;
}

function clone(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function tell(problem) {
  byId('problem').hidden = !problem;
  setText(byId('problem'), problem ?? '');
}

function initials(name) {
  const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  const words = /^[\x20-\x7e]+$/.test(name) ? 2 : 1; // a Bengali syllable is wide enough alone
  return name.split(/\s+/).slice(0, words).map((word) => [...segments.segment(word)][0]?.segment ?? '').join('');
}

function renderCustomers(customers) {
  const list = byId('customers');
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.id), row]));
  const held = list.contains(document.activeElement) ? document.activeElement : null;
  customers.forEach((customer, index) => {
    const row = rows.get(customer.id) ?? clone('customer-row');
    rows.delete(customer.id);
    row.dataset.id = customer.id;
    const button = row.firstElementChild;
    setText(button.querySelector('.avatar'), initials(customer.name));
    setText(button.querySelector('strong'), customer.name);
    setText(button.querySelector('small'), customer.preview);
    setText(button.querySelector('.badge'), customer.status && customer.status !== 'open' ? customer.status : '');
    button.setAttribute('aria-current', String(customer.id === chosen));
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
  for (const row of rows.values()) row.remove();
  // moving a row takes the focus from its button
  if (held && held !== document.activeElement) held.focus({ preventScroll: true });
}

function fileNode(file) {
  if (!file.url) return document.createTextNode(file.name); // a contact's card, a place without an address
  const link = document.createElement('a');
  link.href = file.url;
  link.target = '_blank';
  link.rel = 'noopener';
  if (!file.image) {
    link.textContent = file.name;
    return link;
  }
  const image = document.createElement('img');
  image.src = file.url;
  image.alt = file.name;
  link.append(image);
  return link;
}

function messageRow(message) {
  const row = clone('message-row');
  row.dataset.id = message.id;
  row.querySelector('.files').append(...message.files.map(fileNode));
  return row;
}

function renderMessages(thread) {
  const list = byId('messages');
  const isOther = shownCustomer !== thread.customer.id;
  const wasAtEnd = isOther || list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  const rows = new Map(isOther ? [] : [...list.children].map((row) => [Number(row.dataset.id), row]));
  const next = thread.messages.map((message) => {
    const row = rows.get(message.id) ?? messageRow(message);
    row.classList.toggle('mine', message.mine);
    row.classList.toggle('deleted', message.deleted);
    row.classList.toggle('fresh', !isOther && !shownIds.has(message.id));
    if (message.deleted) row.querySelector('.files').replaceChildren();
    row.querySelector('p').hidden = !message.text;
    setText(row.querySelector('p'), message.text);
    setText(row.querySelector('small'), `${message.mine ? '' : `${message.by}, `}${time.format(new Date(message.at))}`);
    return row;
  });
  const isSame = next.length === list.children.length && next.every((row, index) => row === list.children[index]);
  if (!isSame) list.replaceChildren(...next);
  if (wasAtEnd && !isSame) list.scrollTop = list.scrollHeight;
  shownIds = new Set(thread.messages.map((message) => message.id));
  shownCustomer = thread.customer.id;
}

function renderThread(thread) {
  for (const control of document.querySelectorAll('.sentences button, #say textarea, #say button')) control.disabled = !thread;
  if (!thread) return;
  setText(byId('thread-title'), thread.customer.name);
  const parts = thread.conversation
    ? [`#${thread.conversation}`, thread.inbox, thread.status, thread.assignee ? `assigned to ${thread.assignee}` : 'unassigned']
    : [thread.inbox, 'no conversation yet'];
  setText(byId('thread-state'), parts.join(' · '));
  renderMessages(thread);
}

function renderSwitches(switches) {
  if (changingSwitches) return; // the overview may be older than the click
  for (const box of document.querySelectorAll('[data-switch]')) box.checked = Boolean(switches[box.dataset.switch]);
}

function renderDeliveries({ deliveries, counters, subscribers }) {
  setText(byId('subscribers'), subscribers.length ? `to ${subscribers.join(', ')}` : 'Nobody has subscribed yet.');
  setText(byId('counters'), `sent ${counters.sent} · acknowledged ${counters.acknowledged} · failed ${counters.failed} · dropped ${counters.dropped}`);
  byId('deliveries').replaceChildren(...deliveries.map((delivery) => {
    const row = clone('delivery-row');
    const [at, event, answer] = row.children;
    at.textContent = delivery.at ? time.format(new Date(delivery.at)) : '–';
    event.textContent = delivery.event;
    answer.className = delivery.state;
    answer.textContent = delivery.status ? `${delivery.status}, ${delivery.ms} ms` : delivery.error || delivery.state;
    return row;
  }));
}

async function refresh() {
  const number = ++asking;
  try {
    const overview = await call(`/sim/overview?customer=${chosen ?? 0}`);
    if (number !== asking) return; // a newer question is under way
    renderCustomers(overview.customers);
    renderThread(overview.thread);
    renderSwitches(overview.switches);
    renderDeliveries(overview);
    setText(byId('connection'), 'live');
    byId('connection').classList.add('live');
  } catch {
    setText(byId('connection'), 'not reachable, trying again');
    byId('connection').classList.remove('live');
  }
}

function choose(id) {
  chosen = id;
  sessionStorage.setItem('customer', String(id));
  tell(null);
  return refresh();
}

async function attempt(action) {
  try {
    tell(null);
    await action();
    await refresh();
    return true;
  } catch (problem) {
    tell(problem.message);
    return false;
  }
}

byId('customers').addEventListener('click', (event) => {
  const row = event.target.closest('li');
  if (row) choose(Number(row.dataset.id));
});

byId('new-customer').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = byId('new-name');
  await attempt(async () => {
    const { id } = await call('/sim/customers', { name: input.value });
    input.value = '';
    await choose(id);
    byId('text').focus();
  });
});

byId('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const box = byId('text');
  const text = box.value;
  if (!text.trim()) return;
  box.value = '';
  if (!(await attempt(() => call('/sim/say', { customer_id: chosen, text }))) && !box.value) box.value = text;
});

byId('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId('say').requestSubmit();
  }
});

byId('text').addEventListener('input', () => {
  if (Date.now() - typingSentAt < TYPING_MS) return;
  typingSentAt = Date.now();
  call('/sim/typing', { customer_id: chosen, on: true }).catch(() => {}); // only a hint
});

byId('sentences').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const what = button.id === 'picture' ? { picture: true } : { text: button.textContent };
  attempt(() => call('/sim/say', { customer_id: chosen, ...what }));
});

byId('kinds').addEventListener('submit', async (event) => {
  event.preventDefault();
  const kind = byId('kind').value;
  await attempt(async () => {
    const { customer_id: id } = await call('/sim/kinds', { kind });
    await choose(id);
  });
});

byId('switches').addEventListener('change', (event) => {
  const { switch: name, on, off, kind } = event.target.dataset;
  const isOn = event.target.checked;
  let value = isOn;
  if (kind === 'text') value = isOn ? on : off;
  else if (kind !== 'bool') value = isOn ? Number(on) : 0;
  changingSwitches += 1;
  attempt(() => call('/sim/switches', { [name]: value }).finally(() => { changingSwitches -= 1; asking += 1; }));
});

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, POLL_MS);
}
document.addEventListener('visibilitychange', () => document.hidden || refresh());
poll();
