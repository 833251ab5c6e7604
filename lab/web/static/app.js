// Joins the parts: each is told of every new state.

import { find } from "./dom.js";
import { secondsSince, span } from "./format.js";
import { listen, token } from "./api.js";
import { Topology } from "./topology.js";
import * as tables from "./tables.js";
import * as faults from "./faults.js";
import * as trace from "./trace.js";
import * as timeline from "./timeline.js";
import * as logs from "./logs.js";

let state = null;
let connected = false;

const topology = new Topology(find("picture"), find("picked"));

function tell(text, good) {
  const live = find("live");
  if (live.textContent !== text) live.textContent = text;
  live.className = `pill ${good === true ? "good" : good === false ? "bad" : "quiet"}`;
}

function say(problem) {
  const place = find("problem");
  place.hidden = !problem;
  if (place.textContent !== problem) place.textContent = problem;
}

function freshness() {
  if (!connected || !state) return;
  const age = secondsSince(state.at);
  if (state.problem) tell("not seen", false);
  else if (age < 4) tell("live", true);
  else tell(`${span(age)} old`, false);
}

// What is wrong, in a few words: a screen reader says them when they change.
function health() {
  const broken = state.links.filter((it) => it.state === "broken").length;
  const unknown = state.links.filter((it) => it.state === "unknown").length;
  const wrong = state.nodes.filter((it) => !it.ok).map((it) => it.name);
  const faulty = (state.faults ?? []).length;
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const words = [broken ? `${count(broken, "link")} broken` : "", wrong.length ? `${wrong.join(", ")} not right` : "",
    faulty ? `${count(faulty, "fault")} in force` : ""].filter(Boolean);
  const text = words.join(", ") || (!state.links.length ? "" : unknown ? `${count(unknown, "link")} not known` : "all links answer");
  const place = find("health");
  if (place.textContent !== text) place.textContent = text;
  place.className = words.length ? "bad" : unknown ? "quiet" : "good";
}

function take(next) {
  state = next;
  connected = true;
  document.title = `Lab ${state.lab}`;
  find("lab-name").textContent = state.lab;
  const overlay = state.overlay;
  find("summary").textContent = overlay
    ? `${state.nodes.length} nodes, ${state.pods.length} pods, overlay ${overlay.networks.join(" and ")}` +
      (overlay.backend ? ` by ${overlay.backend}` : "") + (state.complete ? "" : ", not finished")
    : "";
  say(state.problem ? `${state.problem} — what is shown is what was seen last; it goes on trying.` : "");
  health();
  topology.show(state);
  tables.show(state);
  faults.show(state);
  trace.show(state);
  logs.show(state);
  freshness();
}

function lost() {
  connected = false;
  tell("connection lost", false);
  say("The server does not answer: is lab serve still running? The page goes on trying.");
}

// By a server of another run, mostly: to try again is of no use.
function refused(words) {
  connected = false;
  tell("refused", false);
  say(`The server refuses this page: ${words}`);
}

if (!token) {
  tell("no token", false);
  say("This address lacks its token: open the one that lab serve has printed.");
} else {
  faults.begin();
  trace.begin(topology);
  timeline.begin();
  logs.begin();
  tables.begin(topology);
  listen({ state: take, changes: (told) => timeline.add(told.events), lost, refused, defect: (told) => say(`A defect of lab serve: ${told.error}`) });
  setInterval(freshness, 1000);
}
