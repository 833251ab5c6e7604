// The picture: segments in the middle, nodes around them, pods outside.

import cytoscape from "./vendor/cytoscape.esm.min.js";
import { bytes } from "./format.js";
import { places, shortened } from "./layout.js";
import { style } from "./picture-style.js";

const id = (kind, name) => `${kind} ${name}`;

export class Topology {
  constructor(place, picked) {
    this.place = place;
    this.picked = picked;
    this.known = "";
    this.dropped = null;
    this.cy = cytoscape({
      container: place, elements: [], style: style(), layout: { name: "preset" }, minZoom: 0.3, maxZoom: 3,
      boxSelectionEnabled: false, userZoomingEnabled: false,
    });
    this.cy.on("tap", (event) => this.pick(event.target === this.cy ? null : event.target.id()));
    // A wheel moves the page until the picture was clicked, so that nobody is caught in it.
    this.cy.on("tap", () => this.cy.userZoomingEnabled(true));
    place.addEventListener("mouseleave", () => this.cy.userZoomingEnabled(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.cy.style(style()));
    new ResizeObserver(() => this.arrange()).observe(place);
  }

  show(state) {
    this.state = state;
    const faulty = new Set((state.faults ?? []).filter((it) => it.state !== "ended").flatMap((it) => it.seen.map((part) => part.node)));
    const short = shortened(state.nodes.map((it) => it.name), this.crowded());
    const elements = [
      ...state.segments.map((it) => ({ data: { id: id("segment", it.name), label: `${it.name}\n${it.subnets[0] ?? ""}`, kind: "segment" }, classes: "segment" })),
      ...state.nodes.map((it) => ({
        data: { id: id("node", it.name), label: `${faulty.has(it.name) ? "⚡ " : ""}${short[it.name]}${it.engine ? `\non ${it.engine}` : ""}${this.subnet(it)}${this.end(id("node", it.name))}`, kind: "node" },
        classes: `node ${it.state !== "running" ? "down" : it.ok ? "ok" : "bad"} ${it.router ? "router" : ""} ${faulty.has(it.name) ? "faulty" : ""}`,
      })),
      ...state.pods.map((it) => ({ data: { id: id("pod", it.name), label: `${it.name}${this.end(id("pod", it.name))}`, kind: "pod", node: it.node }, classes: `pod ${it.status === "Running" ? "ok" : "bad"}` })),
      ...state.links.map((it) => this.edge(it)),
    ];
    const present = new Set(elements.map((it) => it.data.id));
    const shape = [...present].sort().join("\n");
    this.cy.batch(() => {
      if (shape !== this.known) {
        this.cy.elements().forEach((it) => { if (!present.has(it.id()) && !it.hasClass("trace")) it.remove(); });
      }
      for (const it of elements) {
        const there = this.cy.getElementById(it.data.id);
        if (there.empty()) this.cy.add({ group: it.data.source ? "edges" : "nodes", ...it });
        else {
          const kept = ["picked", "dropped"].filter((name) => there.hasClass(name));
          there.data(it.data).classes(`${it.classes} ${kept.join(" ")}`);
        }
      }
    });
    if (shape !== this.known) { this.known = shape; this.arrange(); }
    if (this.pickedId) this.describe(this.pickedId);
  }

  crowded() { return this.state.nodes.length > 4 || this.place.clientWidth < 600; }

  subnet(node) { return node.subnet && !this.crowded() ? `\n${node.subnet}` : ""; }

  // Where a trace ends, and why.
  end(which) { return this.dropped?.place === which ? `\n${this.dropped.words}` : ""; }

  edge(link) {
    const target = link.kind === "overlay" ? id("node", link.to) : id(link.kind, link.to);
    const rate = (link.receivedPerSecond ?? 0) + (link.sentPerSecond ?? 0);
    return {
      data: { id: link.id, source: id("node", link.from), target, width: Math.min(13, 2 + 2.2 * Math.log10(1 + rate / 1000)), kind: link.kind },
      classes: `${link.kind}-link ${link.state} ${this.state.nodes.length > 5 ? "many" : ""}`,
    };
  }

  arrange() {
    if (!this.state) return;
    const found = places(this.state, this.place.clientWidth, this.place.clientHeight);
    this.cy.batch(() => this.cy.nodes().forEach((it) => { if (found[it.id()]) it.position(found[it.id()]); }));
    this.fit();
  }

  fit() {
    this.cy.resize();
    if (this.cy.nodes().nonempty()) this.cy.fit(this.cy.nodes(), 14);
    if (this.cy.zoom() > 1.25) { this.cy.zoom(1.25); this.cy.center(); }
  }

  pick(which) {
    this.cy.elements().removeClass("picked");
    this.pickedId = which;
    if (which) this.cy.getElementById(which).addClass("picked");
    this.describe(which);
  }

  describe(which) {
    const text = which ? this.words(which) : "Tap a link or a node to read about it.";
    if (this.picked.textContent !== text) this.picked.textContent = text;
  }

  words(which) {
    const link = this.state.links.find((it) => it.id === which);
    if (link) return `${link.from} – ${link.to} (${link.kind}): ${link.state}. ${link.words}. Probed ${link.ageSeconds ?? "?"} s before this look` +
      (link.sentPerSecond === null ? "." : `; received ${bytes(link.receivedPerSecond)}, sent ${bytes(link.sentPerSecond)}.`);
    const [kind, ...rest] = which.split(" ");
    const name = rest.join(" ");
    if (kind === "node") {
      const node = this.state.nodes.find((it) => it.name === name);
      return node ? `${name}: ${node.state}${node.engine ? ` on the engine ${node.engine}` : ""}, ${node.address}${node.subnet ? `, subnet ${node.subnet}` : ""}; ${node.services.map((it) => `${it.unit} ${it.state}`).join(", ") || "services not known"}.` : name;
    }
    if (kind === "pod") {
      const pod = this.state.pods.find((it) => it.name === name);
      return pod ? `pod ${name} on ${pod.node}: ${pod.status}, ${pod.address ?? "without an address"}.` : name;
    }
    return which;
  }

  // Draw a trace: numbered arrows from place to place, red where packets end.
  draw(document) {
    this.undraw();
    const where = (hop) => (hop.namespace && this.has("pod", hop.namespace) ? id("pod", hop.namespace) : id("node", hop.machine));
    for (const way of ["there", "back"]) {
      const hops = document[way];
      let number = 0, from = null, since = 1;
      for (const hop of hops) {
        number += 1;
        const here = where(hop);
        if (this.cy.getElementById(here).empty()) continue;
        if (from && here !== from) {
          this.cy.add({ group: "edges", data: { id: `trace ${way} ${number}`, source: from, target: here, label: `${since}–${number}` }, classes: `trace ${way}` });
          since = number;
        }
        from = here;
        if (hop.action === "dropped") {
          this.cy.getElementById(here).addClass("dropped");
          this.dropped = { place: here, words: `✕ ${number}. ${hop.reason}` };
          break;
        }
      }
      if (hops.some((it) => it.action === "dropped")) break;
    }
    this.show(this.state);
  }

  undraw() {
    this.cy.elements(".trace").remove();
    this.cy.elements().removeClass("dropped");
    this.dropped = null;
  }

  has(kind, name) { return this.cy.getElementById(id(kind, name)).nonempty(); }

  pickPlace(machine, namespace) { this.pick(namespace && this.has("pod", namespace) ? id("pod", namespace) : id("node", machine)); }
}
