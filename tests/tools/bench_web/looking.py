"""Scripts that look at the page from inside: when something was on the screen, and what held the
page up.
"""

# on the screen: the frame after the change was painted, so the time after it
WATCH = """globalThis.seen = {};
globalThis.tasks = [];
globalThis.shift = 0; // of all that is not a row of the list: rows move to the top by design
globalThis.rowShift = 0;
globalThis.lcp = 0;
globalThis.painted = (act) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = act;
  port2.postMessage(0);
});
new PerformanceObserver((list) => { for (const { startTime, duration } of list.getEntries()) tasks.push([startTime, duration]); })
  .observe({ type: "longtask", buffered: true });
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    if (hadRecentInput) continue;
    if (sources.every(({ node }) => node?.parentElement?.closest("#list"))) rowShift += value;
    else shift += value;
  }
})
  .observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => { lcp = list.getEntries().at(-1).startTime; })
  .observe({ type: "largest-contentful-paint", buffered: true });
addEventListener("DOMContentLoaded", () => {
  const items = document.querySelector("#messages");
  if (items) new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) {
      if (node.id) painted(() => { seen[node.querySelector("[data-f=body]").textContent] ??= Date.now(); });
    }
  }).observe(items, { childList: true });
});"""  # noqa: E501

# milliseconds from the key to the frame that shows the reply
ENTER = """(text) => new Promise((done) => {
  const field = document.querySelector("#reply");
  field.value = text;
  const start = performance.now();
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  const look = () => {
    const last = document.querySelector("#messages > li:last-child [data-f=body]");
    if (last?.textContent === text) return painted(() => done(performance.now() - start));
    requestAnimationFrame(look);
  };
  look();
})"""  # noqa: E501

# milliseconds from the click on a row to the frame that shows its messages
SWITCH = """(id) => new Promise((done) => {
  const start = performance.now();
  document.querySelector(`#rows > li[data-key="${id}"] a`).click();
  const look = () => {
    const link = document.querySelector("#messages > li[id]:last-child [data-f=link]");
    if (link?.getAttribute("href").startsWith(`/inbox/c/${id}#`)) return painted(() => done(performance.now() - start));
    requestAnimationFrame(look);
  };
  look();
})"""  # noqa: E501

# scrolls a long list to its end, a screen a frame, and tells how many rows came by and the most
# that were there at once
SCROLL = """(wanted) => new Promise((done) => {
  const area = document.querySelector("#list");
  const rows = document.querySelector("#rows");
  const ids = new Set();
  let most = 0;
  const step = () => {
    for (const { dataset } of rows.children) ids.add(dataset.key);
    most = Math.max(most, rows.children.length);
    if (ids.size >= wanted) return done([ids.size, most, document.querySelectorAll("*").length]);
    area.scrollTop += area.clientHeight;
    requestAnimationFrame(step);
  };
  step();
})"""
