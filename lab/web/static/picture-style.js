// How the picture looks, in the page's own colours of day or night.

export function style() {
  const own = getComputedStyle(document.documentElement);
  const colour = (name) => own.getPropertyValue(`--${name}`).trim();
  const [ink, paper, good, bad, unknown, quiet, link] = ["ink", "paper", "good", "bad", "unknown", "quiet", "link"].map(colour);
  return [
    { selector: "node", style: {
      label: "data(label)", color: ink, "font-size": 12, "font-family": "system-ui, sans-serif", "text-wrap": "wrap",
      "text-valign": "bottom", "text-margin-y": 4, "border-width": 2, "border-color": unknown, width: 30, height: 30,
      "text-outline-color": colour("shade"), "text-outline-width": 2 } },
    { selector: ".node", style: { shape: "round-rectangle", width: 38, height: 26, "background-color": colour("node") } },
    { selector: ".router", style: { shape: "diamond", width: 36, height: 36 } },
    { selector: ".pod", style: { shape: "ellipse", width: 20, height: 20, "font-size": 11, "background-color": colour("pod") } },
    { selector: ".segment", style: { shape: "round-rectangle", width: 70, height: 12, "background-color": colour("segment"), color: quiet, "font-size": 11, "border-color": quiet, "border-width": 1 } },
    { selector: "node.ok", style: { "border-color": good } },
    { selector: "node.bad, node.down", style: { "border-color": bad, "border-width": 4 } },
    { selector: "node.down", style: { "border-style": "dashed", "background-opacity": 0.4 } },
    { selector: "node.faulty", style: { "border-style": "double", "border-width": 5 } },
    { selector: "edge", style: { width: "data(width)", "line-color": unknown, "curve-style": "straight", "line-cap": "round", opacity: 0.85 } },
    { selector: "edge.overlay-link", style: { "curve-style": "unbundled-bezier", "control-point-distances": 22, "control-point-weights": 0.5, "line-style": "dashed", "line-dash-pattern": [7, 4], "line-cap": "butt", opacity: 0.5 } },
    { selector: "edge.overlay-link.many", style: { "curve-style": "straight", opacity: 0.32, "line-dash-pattern": [4, 4] } },
    { selector: "edge.ok", style: { "line-color": good } },
    { selector: "edge.broken", style: { "line-color": bad, opacity: 1, "z-index": 5, width: "mapData(width, 2, 13, 3.5, 13)" } },
    { selector: "edge.unknown", style: { "line-style": "dotted" } },
    { selector: "edge.trace", style: {
      width: 3, "line-color": link, "target-arrow-color": link, "target-arrow-shape": "triangle", "curve-style": "unbundled-bezier",
      "control-point-distances": -34, "control-point-weights": 0.5, label: "data(label)", "font-size": 11, color: link, opacity: 1,
      "text-background-color": paper, "text-background-opacity": 0.9, "text-background-padding": 2, "z-index": 9 } },
    { selector: "edge.trace.back", style: { "line-style": "dashed" } },
    { selector: "node.dropped", style: { "underlay-color": bad, "underlay-opacity": 0.45, "underlay-padding": 10 } },
    { selector: ".picked", style: { "overlay-color": link, "overlay-opacity": 0.22, "overlay-padding": 5 } },
  ];
}
