// Keeps the section of the sync true while one is under way: as the socket tells it, and by asking where it does not. Words come from the server.
const EVERY_MS = 1000;
const SILENT_MS = 3000; // a sync that walks is told of every second
const section = document.getElementById("sync");
const UNDER_WAY = ["asked", "running", "stopping"];

async function refresh() {
  const answer = await fetch(`/admin/integrations/${section.dataset.id}/sync`).catch(() => null);
  const run = answer?.ok && !answer.redirected ? await answer.json() : null;
  if (run === null) return;
  const bar = section.querySelector("progress");
  bar.hidden = false;
  if (run.total === null) bar.removeAttribute("value");
  else Object.assign(bar, { max: Math.max(run.total, 1), value: Math.min(run.conversations, run.total) });
  section.querySelector("[data-words]").textContent = run.words;
  if (UNDER_WAY.includes(run.state) !== UNDER_WAY.includes(section.dataset.state)) location.reload(); // the buttons change
  section.dataset.state = run.state;
}

let toldAt = -Infinity;

// No resume, no replay: who misses something asks.
function listen() {
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws`);
  socket.onopen = () => socket.send(JSON.stringify({ type: "hello", cursor: null, visible: false }));
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "ping") socket.send(JSON.stringify({ type: "pong", id: frame.id, cursor: frame.cursor }));
    if (frame.type !== "sync" || frame.integrationId !== Number(section.dataset.id)) return;
    toldAt = performance.now();
    refresh();
  };
}

listen();
setInterval(() => {
  if (UNDER_WAY.includes(section.dataset.state) && performance.now() - toldAt > SILENT_MS) refresh();
}, EVERY_MS);
