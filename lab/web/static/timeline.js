// What has changed: as marks along the time, and as lines, by subject, words and span.

import { element, find, show as put, table, word } from "./dom.js";
import { clock } from "./format.js";

const SUBJECTS = ["fault", "link", "lease", "service", "readiness", "node", "pod", "lab"];
const hidden = new Set();
const events = new Map();

export function begin() {
  find("event-subjects").replaceChildren(...SUBJECTS.map((subject) => element("button", {
    type: "button", "aria-pressed": "true", click: (event) => {
      if (!hidden.delete(subject)) hidden.add(subject);
      event.target.setAttribute("aria-pressed", String(!hidden.has(subject)));
      draw();
    } }, subject)));
  find("event-span").addEventListener("change", draw);
  find("event-words").addEventListener("input", draw);
  setInterval(draw, 2000);
  draw();
}

export function add(told) {
  for (const it of told) events.set(it.number, it);
  draw();
}

function draw() {
  const span = Number(find("event-span").value), now = Date.now(), words = find("event-words").value.toLowerCase();
  const every = [...events.values()];
  const from = span ? now - span * 1000 : Math.min(now - 60000, ...every.map((it) => Date.parse(it.at)));
  const shown = every.filter((it) => !hidden.has(it.subject) && Date.parse(it.at) >= from &&
    `${it.subject} ${it.name} ${it.words}`.toLowerCase().includes(words));
  picture(shown, from, now);
  put(find("events-table"), table([{ title: "At" }, { title: "What" }, { title: "Of", long: true }, { title: "Change", long: true }],
    shown.slice(-300).reverse().map((it) => [clock(it.at), it.subject, it.name, word(it.words, it.good)]), null,
    "Nothing has changed since this page's server looks."));
}

function picture(shown, from, now) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1000 48");
  svg.setAttribute("preserveAspectRatio", "none");
  for (const it of shown) {
    const line = document.createElementNS(svg.namespaceURI, "line");
    const x = 4 + (992 * (Date.parse(it.at) - from)) / (now - from);
    const row = 4 + (SUBJECTS.indexOf(it.subject) * 40) / SUBJECTS.length;
    for (const [key, value] of Object.entries({ x1: x, x2: x, y1: row, y2: row + 8 })) line.setAttribute(key, value);
    if (it.good !== null) line.setAttribute("class", it.good ? "good" : "bad");
    line.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(line);
  }
  find("event-picture").replaceChildren(svg, element("p", { class: "axis quiet" }, element("span", {}, clock(from)), element("span", {}, "now")));
}
