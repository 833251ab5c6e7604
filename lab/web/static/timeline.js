// What has changed: as marks along the time, and as lines, by subject, words and span. Dragging over the marks
// shows that part of the time alone.

import { element, find, show as put, table, word } from "./dom.js";
import { clock } from "./format.js";

const SUBJECTS = ["fault", "link", "lease", "service", "readiness", "node", "pod", "lab"];
const hidden = new Set();
const events = new Map();
const WIDE = 1000, EDGE = 4;
let zoom = null, shownSpan = null, drag = null;

export function begin() {
  find("event-subjects").replaceChildren(...SUBJECTS.map((subject) => element("button", {
    type: "button", "aria-pressed": "true", click: (event) => {
      if (!hidden.delete(subject)) hidden.add(subject);
      event.target.setAttribute("aria-pressed", String(!hidden.has(subject)));
      draw();
    } }, subject)));
  find("event-span").addEventListener("change", () => { zoom = null; draw(); });
  find("event-whole").addEventListener("click", unzoom);
  zoomByDragging(find("event-picture"));
  find("event-words").addEventListener("input", draw);
  setInterval(draw, 2000);
  draw();
}

export function add(told) {
  for (const it of told) events.set(it.number, it);
  draw();
}

// The part of the time between two places of the picture, given as shares of its width.
export function part(span, one, other) {
  const at = (share) => {
    const along = (Math.min(1, Math.max(0, share)) * WIDE - EDGE) / (WIDE - 2 * EDGE);
    return span.from + Math.min(1, Math.max(0, along)) * (span.to - span.from);
  };
  return { from: at(Math.min(one, other)), to: at(Math.max(one, other)) };
}

function zoomByDragging(place) {
  const share = (event) => (event.clientX - place.getBoundingClientRect().left) / place.clientWidth;
  place.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest("svg")) return;
    place.setPointerCapture(event.pointerId);
    drag = { one: share(event), other: share(event), span: shownSpan };
  });
  place.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.other = share(event);
    mark();
  });
  place.addEventListener("pointerup", () => {
    const done = drag;
    drag = null;
    // Less is the trembling of a click.
    if (done && Math.abs(done.one - done.other) * place.clientWidth > 6) zoom = part(done.span, done.one, done.other);
    draw();
  });
  place.addEventListener("pointercancel", () => { drag = null; draw(); });
  place.addEventListener("dblclick", unzoom);
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !(drag || zoom)) return;
    drag = null;
    unzoom();
  });
}

function unzoom() {
  zoom = null;
  draw();
}

// The part that is being dragged over.
function mark() {
  const svg = find("event-picture").querySelector("svg");
  const rect = svg.querySelector("rect") ?? svg.appendChild(document.createElementNS(svg.namespaceURI, "rect"));
  const x = Math.max(0, Math.min(drag.one, drag.other)) * WIDE;
  const width = Math.min(1, Math.max(drag.one, drag.other)) * WIDE - x;
  for (const [key, value] of Object.entries({ x, y: 0, width: Math.max(0, width), height: 48 })) rect.setAttribute(key, value);
}

function draw() {
  if (drag) return; // the picture must not move under the pointer
  const span = Number(find("event-span").value), now = Date.now(), words = find("event-words").value.toLowerCase();
  const every = [...events.values()];
  const whole = { from: span ? now - span * 1000 : Math.min(now - 60000, ...every.map((it) => Date.parse(it.at))), to: now };
  const { from, to } = shownSpan = zoom ?? whole;
  find("event-whole").hidden = !zoom;
  const shown = every.filter((it) => !hidden.has(it.subject) && Date.parse(it.at) >= from && Date.parse(it.at) <= to &&
    `${it.subject} ${it.name} ${it.words}`.toLowerCase().includes(words));
  picture(shown, from, to);
  put(find("events-table"), table([{ title: "At" }, { title: "What" }, { title: "Of", long: true }, { title: "Change", long: true }],
    shown.slice(-300).reverse().map((it) => [clock(it.at), it.subject, it.name, word(it.words, it.good)]), null,
    zoom ? "Nothing has changed in this part of the time." : "Nothing has changed since this page's server looks."));
}

function picture(shown, from, to) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDE} 48`);
  svg.setAttribute("preserveAspectRatio", "none");
  for (const it of shown) {
    const line = document.createElementNS(svg.namespaceURI, "line");
    const x = EDGE + ((WIDE - 2 * EDGE) * (Date.parse(it.at) - from)) / (to - from);
    const row = 4 + (SUBJECTS.indexOf(it.subject) * 40) / SUBJECTS.length;
    for (const [key, value] of Object.entries({ x1: x, x2: x, y1: row, y2: row + 8 })) line.setAttribute(key, value);
    if (it.good !== null) line.setAttribute("class", it.good ? "good" : "bad");
    line.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(line);
  }
  find("event-picture").replaceChildren(svg, element("p", { class: "axis quiet" }, element("span", {}, clock(from)), element("span", {}, zoom ? clock(to) : "now")));
}
