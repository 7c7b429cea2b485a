// Keeps the section of the sync true while one is under way.
const EVERY_MS = 1000;
const section = document.getElementById("sync");
const UNDER_WAY = ["asked", "running", "stopping"];

function sentence({ state, conversations, total, messages, created, perSecond, secondsLeft, problem }) {
  const parts = [`${state}: ${conversations}${total === null ? "" : ` of ${total}`} conversations, ${messages} messages read, ${created} of them new`];
  if (perSecond !== null) parts.push(`${perSecond} conversations a second`);
  if (secondsLeft !== null) parts.push(`about ${secondsLeft} s left`);
  if (problem) parts.push(problem);
  return parts.join("; ");
}

async function refresh() {
  const answer = await fetch(`/api/integrations/${section.dataset.id}/sync`).catch(() => null);
  const run = answer?.ok ? await answer.json() : null;
  if (run === null) return;
  const bar = section.querySelector("progress");
  bar.hidden = false;
  if (run.total === null) bar.removeAttribute("value");
  else Object.assign(bar, { max: Math.max(run.total, 1), value: Math.min(run.conversations, run.total) });
  section.querySelector("[data-words]").textContent = sentence(run);
  if (!UNDER_WAY.includes(run.state) && UNDER_WAY.includes(section.dataset.state)) location.reload(); // the buttons change
  section.dataset.state = run.state;
}

if (UNDER_WAY.includes(section.dataset.state)) setInterval(refresh, EVERY_MS);
