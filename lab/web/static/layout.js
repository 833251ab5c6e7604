// Where everything is drawn, from its names and the room there is. The same lab is always drawn the same.

// A node's label is below it: so far to both sides, and down to here, with a pod's own size and label.
const ASIDE = 66, BELOW = 66;

export function places(state, width, height) {
  const found = {}, middle = { x: width / 2, y: height / 2 };
  const podsOf = (node) => state.pods.filter((it) => it.node === node).map((it) => it.name);
  const most = Math.max(1, ...state.nodes.map((it) => podsOf(it.name).length));
  const rx = Math.max(90, width / 2 - 55), ry = Math.max(90, height / 2 - 45);
  const ring = state.pods.length ? 0.66 : 0.9;
  const on = (angle, part) => ({ x: middle.x + Math.cos(angle) * rx * part, y: middle.y + Math.sin(angle) * ry * part });
  const count = state.nodes.length, angles = spread(count, rx, ry);
  byEngine(state.nodes).forEach((node, index) => {
    const angle = angles[index];
    found[`node ${node.name}`] = on(angle, ring);
    const pods = podsOf(node.name), wide = Math.min(0.36, (1.7 * Math.PI) / count / most);
    pods.forEach((pod, place) => { found[`pod ${pod}`] = beside(on(angle + (place - (pods.length - 1) / 2) * wide, 1), found[`node ${node.name}`]); });
  });
  state.segments.forEach((segment, index) => {
    const many = state.segments.length > 1;
    const members = state.nodes.filter((it) => it.segments.includes(segment.name)).map((it) => found[`node ${it.name}`]);
    const mean = (axis) => members.reduce((sum, it) => sum + it[axis], 0) / (members.length || 1);
    const angle = -Math.PI / 2 + (2 * Math.PI * index) / state.segments.length;
    found[`segment ${segment.name}`] = !many ? middle : members.length
      ? { x: middle.x + (mean("x") - middle.x) * 0.6, y: middle.y + (mean("y") - middle.y) * 0.6 + index * 4 } : on(angle, 0.3);
  });
  return found;
}

// A pod's place, or, if it is on its node's label, the one below that.
function beside(pod, node) {
  const covers = Math.abs(pod.x - node.x) < ASIDE && pod.y > node.y - 10 && pod.y < node.y + BELOW;
  return covers ? { x: pod.x, y: node.y + BELOW } : pod;
}

// Those on one engine beside each other, in the lab file's order.
export function byEngine(nodes) {
  const engines = [...new Set(nodes.map((it) => it.engine))];
  return engines.flatMap((engine) => nodes.filter((it) => it.engine === engine));
}

// Angles of places on an ellipse that are as far from each other along it, from its top on.
function spread(count, rx, ry) {
  const steps = 720, ways = [0];
  const at = (step) => -Math.PI / 2 + (2 * Math.PI * step) / steps;
  for (let step = 1; step <= steps; step += 1) {
    const [one, other] = [at(step - 1), at(step)];
    ways.push(ways[step - 1] + Math.hypot(rx * (Math.cos(other) - Math.cos(one)), ry * (Math.sin(other) - Math.sin(one))));
  }
  return Array.from({ length: count }, (_, index) => at(ways.findIndex((way) => way >= (ways[steps] * index) / count)));
}

// Names without what all have in common before a hyphen, where there is little room.
export function shortened(names, wanted) {
  let common = names[0]?.lastIndexOf("-") >= 0 ? names[0].slice(0, names[0].indexOf("-") + 1) : "";
  if (!wanted || names.length < 2 || !common || !names.every((it) => it.startsWith(common) && it.length > common.length)) common = "";
  return Object.fromEntries(names.map((it) => [it, it.slice(common.length)]));
}
