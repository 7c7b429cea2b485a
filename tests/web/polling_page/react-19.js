// React 19 as the page's React. Its package has CommonJS alone, which is put together here as a bundler would.
const FILES = {
  react: "react-19/cjs/react.production.js",
  "react-dom": "react-dom-19/cjs/react-dom.production.js",
  "react-dom/client": "react-dom-19/cjs/react-dom-client.production.js",
  scheduler: "react-dom-19/node_modules/scheduler/cjs/scheduler.production.js",
};
const modules = {};

function load(name) {
  if (modules[name]) return modules[name].exports;
  const request = new XMLHttpRequest();
  request.open("GET", `/crm/${FILES[name]}`, false);
  request.send();
  const module = (modules[name] = { exports: {} });
  new Function("require", "module", "exports", request.responseText)(load, module, module.exports);
  return module.exports;
}

if (new URLSearchParams(location.search).get("react") === "19") {
  globalThis.React = load("react");
  globalThis.ReactDOM = load("react-dom/client");
}
