// Keeps the section of the sync true while one is under way. Words come from the server.
const EVERY_MS = 1000;
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
  if (!UNDER_WAY.includes(run.state) && UNDER_WAY.includes(section.dataset.state)) location.reload(); // the buttons change
  section.dataset.state = run.state;
}

if (UNDER_WAY.includes(section.dataset.state)) setInterval(refresh, EVERY_MS);
