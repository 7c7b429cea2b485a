// Keeps the status page true: asks every two seconds while the page is looked at, and says when it cannot.
const EVERY_MS = 2000;
const freshness = document.getElementById("freshness");

const look = (object, path) => path.split(".").reduce((value, name) => value?.[name], object);

function showPlot(section, plot) {
  const { unit } = section.dataset;
  for (const [line, path] of Object.entries(plot.paths)) {
    section.querySelector(`[data-line="${line}"]`).setAttribute("d", path);
    const value = plot.newest[line];
    section.querySelector(`[data-newest="${line}"]`).textContent = value === null ? "—" : value + unit;
  }
  section.querySelector("[data-top]").textContent = plot.top.toLocaleString("en") + unit;
}

function showParts(parts) {
  document.querySelectorAll("#parts > li").forEach((item, n) => {
    item.firstElementChild.className = `state ${parts[n].isWell ? "ok" : "failed"}`;
    item.lastElementChild.textContent = parts[n].text;
  });
}

function showIntegrations(integrations) {
  for (const one of integrations) {
    const row = document.querySelector(`#integrations > tr[data-id="${one.id}"]`);
    if (!row) continue; // added since: there at the next visit
    row.querySelector("[data-last]").textContent = (one.lastWebhookAt ?? "never").slice(0, 19).replace("T", " ");
    const state = row.querySelector("[data-state]");
    state.className = `state ${one.isWell ? "ok" : "warning"}`;
    state.textContent = one.text ?? "works";
  }
}

function show(status) {
  for (const figure of document.querySelectorAll("[data-figure]")) figure.textContent = look(status, figure.dataset.figure);
  for (const section of document.querySelectorAll("[data-plot]")) showPlot(section, status.plots[section.dataset.plot]);
  showParts(status.parts);
  showIntegrations(status.integrations);
  freshness.textContent = `as of ${status.now.slice(11, 19)} UTC, live`;
}

async function refresh() {
  try {
    const answer = await fetch("/api/status", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.reload(); // to the sign-in, and back
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    freshness.textContent = "the server does not answer; these are older figures";
  }
}

setInterval(() => {
  if (document.visibilityState === "visible") refresh();
}, EVERY_MS);
