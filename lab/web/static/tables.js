// Nodes, pods, leases, and the table that says what the picture shows.

import { element, find, show as put, table, word } from "./dom.js";
import { byEngine } from "./layout.js";
import { bytes, clock, milliseconds, secondsSince, span } from "./format.js";

export function begin(topology) {
  const picture = find("as-picture"), asTable = find("as-table");
  const choose = (wanted) => {
    find("picture").hidden = find("legend").hidden = find("picked").hidden = find("fit").hidden = wanted;
    find("links-table").hidden = !wanted;
    picture.setAttribute("aria-pressed", String(!wanted));
    asTable.setAttribute("aria-pressed", String(wanted));
  };
  picture.addEventListener("click", () => { choose(false); topology.fit(); });
  asTable.addEventListener("click", () => { choose(true); if (topology.state) show(topology.state); });
  find("fit").addEventListener("click", () => topology.arrange());
}

const STATES = { ok: true, broken: false, unknown: null };

function links(state) {
  const behind = secondsSince(state.at);
  const order = { broken: 0, unknown: 1, ok: 2 };
  const rows = [...state.links].sort((one, other) => order[one.state] - order[other.state]).map((it) => [
    `${it.from} – ${it.to}`, it.kind, [word(it.state, STATES[it.state]), it.state === "ok" ? "" : `: ${it.words}`], milliseconds(it.ms),
    it.ageSeconds === null ? "–" : `${Math.round(it.ageSeconds + behind)} s`, bytes(it.receivedPerSecond), bytes(it.sentPerSecond)]);
  return table([{ title: "Link", name: true }, { title: "Kind" }, { title: "State", long: true }, { title: "There and back", number: true },
    { title: "Age", number: true }, { title: "Received", number: true }, { title: "Sent", number: true }],
  rows, "Every link, broken ones first. Age: since the last probe was sent.");
}

function services(node) {
  if (node.state !== "running") return [word(node.state === "unreached" ? `unreached: the engine ${node.engine} does not answer` : node.state, false)];
  if (node.silences.length) return [word(node.silences.map((it) => it.reason).join("; "), false)];
  return node.services.flatMap((it, index) => [index ? ", " : "", element("span", { class: `item ${it.state === "active" ? "good" : "bad"}` }, `${it.unit} ${it.state}`),
    it.restarts ? ` (restarted ${it.restarts}×)` : ""]);
}

function readiness(node) {
  if (!node.services.some((it) => it.unit === "flanneld")) return "–";
  if (!node.readiness) {
    const flanneld = node.services.find((it) => it.unit === "flanneld");
    return word(flanneld.state === "active" ? "started" : "not started", flanneld.state === "active" ? null : false);
  }
  const ready = node.readiness.status === 200;
  return word(ready ? "ready" : `not ready: ${node.readiness.text.slice(0, 80)}`, ready);
}

function nodes(state) {
  const device = (node) => node.devices.filter((it) => it.name.startsWith("eth") || it.name.startsWith("flannel") && !it.name.endsWith("-in"))
    .flatMap((it, index) => [index ? ", " : "", `${it.name} `, element("span", { class: "item" }, bytes(it.receivedPerSecond + it.sentPerSecond))]);
  const several = state.nodes.some((it) => it.engine);
  return table([{ title: "Node" }, ...(several ? [{ title: "Engine" }] : []), { title: "Address" }, { title: "Services" }, { title: "flanneld" }, { title: "Subnet" }, { title: "Traffic", long: true }],
    byEngine(state.nodes).map((it) => [it.name, ...(several ? [it.engine] : []), it.address, services(it), readiness(it),
      [it.subnet, it.subnet6].filter(Boolean).join(" ") || "–", device(it)]));
}

function pods(state) {
  return table([{ title: "Pod" }, { title: "Node" }, { title: "Address" }, { title: "Status" }, { title: "Restarts", number: true }],
    state.pods.map((it) => [it.name, it.node, [it.address, it.address6].filter(Boolean).join(" ") || "–",
      word(it.status, it.status === "Running" ? null : false), String(it.restarts)]));
}

function leases(state) {
  if (!state.leases) return element("p", { class: "bad" }, state.leasesAt ? "No etcd answers: the leases are not known." : "Not asked yet.");
  const passed = secondsSince(state.leasesAt);
  return table([{ title: "Subnet" }, { title: "Holder" }, { title: "Time left", number: true }],
    state.leases.map((it) => [[it.subnet, it.subnet6].filter(Boolean).join(" ") || it.key, it.node ?? it.publicAddress ?? word("nobody known", false),
      it.secondsLeft === null ? "no end" : span(it.secondsLeft - passed)]),
    `As etcd had them at ${clock(state.leasesAt)}; the time that is left goes on.`);
}

export function show(state) {
  if (!find("links-table").hidden) put(find("links-table"), links(state));
  put(find("nodes-table"), nodes(state));
  put(find("pods-table"), pods(state));
  put(find("leases-table"), leases(state));
}
