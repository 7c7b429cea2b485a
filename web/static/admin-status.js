// Keeps the status page true: asks every two seconds while the page is looked at, and says when it cannot. Words come from the server.
const EVERY_MS = 2000;
const freshness = document.getElementById("freshness");

function showPlot(section, plot) {
  for (const [line, path] of Object.entries(plot.paths)) {
    section.querySelector(`[data-line="${line}"]`).setAttribute("d", path);
    section.querySelector(`[data-newest="${line}"]`).textContent = plot.newest[line];
  }
  section.querySelector("[data-top]").textContent = plot.top;
}

function showPart({ name, state, text }) {
  const item = document.querySelector(`#parts > [data-part="${name}"]`);
  item.firstElementChild.className = `state ${state}`;
  item.lastElementChild.textContent = text;
}

function showIntegration({ id, last, lastExact, state, text }) {
  const row = document.querySelector(`#integrations > tr[data-id="${id}"]`);
  if (!row) return; // added since: there at the next visit
  Object.assign(row.querySelector("[data-last]"), { textContent: last, title: lastExact });
  Object.assign(row.querySelector("[data-state]"), { className: `state ${state}`, textContent: text });
}

function show(status) {
  for (const figure of document.querySelectorAll("[data-figure]")) figure.textContent = status.figures[figure.dataset.figure];
  for (const section of document.querySelectorAll("[data-plot]")) showPlot(section, status.plots[section.dataset.plot]);
  status.parts.forEach(showPart);
  document.getElementById("losses").textContent = status.losses;
  status.integrations.forEach(showIntegration);
  freshness.textContent = freshness.dataset.live.replace("…", status.time);
}

async function refresh() {
  try {
    const answer = await fetch("/admin/status/figures", { headers: { Accept: "application/json" } });
    if (answer.redirected) return location.reload(); // to the sign-in, and back
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    freshness.textContent = freshness.dataset.lost;
  }
}

setInterval(() => {
  if (document.visibilityState === "visible") refresh();
}, EVERY_MS);
