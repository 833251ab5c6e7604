// The last lines of a unit's log.

import { get } from "./api.js";
import { element, find, show as put } from "./dom.js";

let lines = [];

export function begin() {
  find("logs-form").addEventListener("submit", read);
  find("log-words").addEventListener("input", draw);
  find("log-node").addEventListener("change", choose);
}

let nodes = [];
let chosen = "";  // by hand, or the first that runs flanneld once one is known to

function choose() {
  chosen = find("log-node").value;
  find("log-unit").value = "";
  units();
}

export function show(state) {
  nodes = state.nodes;
  put(find("log-node"), ...nodes.map((it) => element("option", { value: it.name }, it.name)));
  if (!nodes.some((it) => it.name === chosen)) {
    chosen = nodes.find((it) => it.services.some((unit) => unit.unit === "flanneld"))?.name ?? "";
  }
  if (!chosen) return;
  find("log-node").value = chosen;
  units();
}

function units() {
  const node = nodes.find((it) => it.name === find("log-node").value);
  const own = node?.services.map((it) => it.unit) ?? [];
  put(find("units"), ...own.map((it) => element("option", { value: it })));
  if (!find("log-unit").value && document.activeElement !== find("log-unit")) find("log-unit").value = own[0] ?? "";
}

async function read(event) {
  event.preventDefault();
  const said = find("logs-said");
  said.textContent = "Reading…";
  said.className = "said quiet";
  try {
    lines = (await get(`/api/logs/${encodeURIComponent(find("log-node").value)}/${encodeURIComponent(find("log-unit").value.trim())}`)).lines;
    said.textContent = `The last ${lines.length} lines.`;
    draw();
    find("log").scrollTop = find("log").scrollHeight;
  } catch (error) {
    said.textContent = error.message;
    said.className = "said bad";
  }
}

function draw() {
  const words = find("log-words").value.toLowerCase();
  const shown = lines.filter((it) => it.message.toLowerCase().includes(words));
  find("log").hidden = !lines.length;
  find("log").textContent = shown.map((it) => `${new Date(it.at * 1000).toISOString().slice(11, 23)} ${it.origin}: ${it.message}`).join("\n");
}
