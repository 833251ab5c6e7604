// Faults in force, and the form that starts one: what lab fault does.

import { get, post } from "./api.js";
import { element, find, show as put } from "./dom.js";
import { clock, secondsSince, span } from "./format.js";

let catalogue = [];
let nodes = [];
const chosen = () => catalogue.find((it) => it.name === find("fault").value);
const plain = (markdown) => markdown.replaceAll("`", "");

export async function begin() {
  find("fault").addEventListener("change", describe);
  find("fault-form").addEventListener("submit", start);
  find("target-names").addEventListener("click", (event) => {
    const name = event.target.dataset.target;
    if (name) find("targets").value = `${find("targets").value} ${name}`.trim();
  });
  find("clear").addEventListener("click", () => act("/api/faults/clear", {}, "Ending every fault…", find("clear")));
  try {
    catalogue = (await get("/api/catalogue")).faults;
  } catch (error) {
    say(error.message, false);
    return;
  }
  const subjects = [...new Set(catalogue.map((it) => it.subject))];
  find("fault").replaceChildren(...subjects.map((subject) =>
    element("optgroup", { label: subject }, ...catalogue.filter((it) => it.subject === subject).map((it) =>
      element("option", { value: it.name, disabled: Boolean(it.refused) }, it.kind === "event" ? `${it.name} (done at once)` : it.name)))));
  find("fault").value = "partition";
  describe();
}

function describe() {
  const fault = chosen();
  if (!fault) return;
  find("fault-does").textContent = `${plain(fault.does)}. What must hold: ${plain(fault.holds)}.`;
  const usage = fault.usage.slice(fault.name.length).replace(/ ?\[--.*/, "").trim();
  find("targets-usage").textContent = usage;
  find("targets").disabled = !usage;
  find("targets").placeholder = usage ? "names with blanks between; also all, minions, etcd" : "it takes none";
  if (!usage) find("targets").value = "";
  targets();
  find("options").replaceChildren(...fault.options.map((it) => {
    const key = `option-${it.name}`;
    const label = element("label", { for: key, title: plain(it.does) }, `--${it.name}`);
    const help = element("small", { id: `${key}-help`, class: "quiet" }, plain(it.does));
    if (!it.value) {
      return element("span", { class: "check" }, element("input", { id: key, type: "checkbox", "data-option": it.name, "aria-describedby": `${key}-help` }), label, help);
    }
    return element("span", {}, label, element("input", { id: key, "data-option": it.name, placeholder: it.default ?? it.value, autocomplete: "off", "aria-describedby": `${key}-help` }), help);
  }));
}

function start(event) {
  event.preventDefault();
  const fault = chosen();
  const options = {};
  for (const input of find("options").querySelectorAll("[data-option]")) {
    if (input.type === "checkbox" ? input.checked : input.value.trim()) options[input.dataset.option] = input.type === "checkbox" ? "true" : input.value.trim();
  }
  const wanted = find("targets").value.split(/\s+/).filter(Boolean);
  act("/api/faults/start", { fault: fault.name, targets: wanted, options }, `Starting ${fault.name}…`, event.submitter);
}

async function act(path, body, doing, button) {
  say(doing, null);
  if (button) button.disabled = true;
  try {
    const done = await post(path, body);
    const told = done.ended ? done.ended.map((it) => `ended ${[it.id, it.fault, ...it.targets].filter(Boolean).join(" ")}`)
      : [`${done.fault}${done.id ? ` is in force as ${done.id}` : done.kind === "event" ? " is done" : " is in force"}`, ...done.told.map((it) => `${it.node}: ${it.words}`)];
    say(told.join("\n") || "No fault was in force.", true);
  } catch (error) {
    say(error.message, false);
  } finally {
    if (button) button.disabled = false;
  }
}

function say(text, good) {
  const place = find("fault-said");
  place.textContent = text;
  place.className = `said ${good === true ? "good" : good === false ? "bad" : "quiet"}`;
}

// Buttons that add to the targets what the fault can be done to.
function targets() {
  const usage = find("targets-usage").textContent;
  const names = !usage ? [] : usage.includes("/UNIT")
    ? nodes.flatMap((it) => it.services.map((unit) => `${it.name}/${unit.unit}`)) : nodes.map((it) => it.name);
  put(find("target-names"), ...names.map((it) => element("button", { type: "button", "data-target": it, "data-key": `add ${it}` }, it)));
}

export function show(state) {
  nodes = state.nodes;
  targets();
  const inForce = state.faults;
  find("clear").disabled = !(inForce?.length || state.faultsSilent.length);
  const items = (inForce ?? []).map((it) => element("div", { class: "fault" },
    element("p", {}, element("strong", {}, [it.fault, ...it.targets].join(" ")), ` ${it.state}`,
      it.began ? ` since ${clock(it.began)}` : "",
      ...it.seen.map((part) => element("small", { class: "quiet" }, ` · ${part.node}: ${part.words}`))),
    element("button", { type: "button", "data-key": `stop ${it.id ?? it.fault}`, "data-stop": JSON.stringify(it.id ? { what: it.id } : { what: it.fault, targets: it.targets }), "aria-label": `End ${it.fault} ${it.targets.join(" ")}` }, "End")));
  const age = secondsSince(state.faultsAt);
  const told = inForce === null ? "Not asked yet." : inForce.length ? null : `No fault is in force${age > 20 ? `, as of ${span(age)} ago` : ""}.`;
  put(find("in-force"), ...(told ? [element("p", { class: "quiet" }, told)] : []), ...items,
    ...state.faultsSilent.map((it) => element("p", { class: "bad" }, `What ${it.node} has is not known: ${it.reason}`)));
  find("in-force").onclick = (event) => {
    if (event.target.dataset.stop) act("/api/faults/stop", JSON.parse(event.target.dataset.stop), "Ending it…", event.target);
  };
}
