// lab trace: drawn on the picture, told hop by hop, with what to type.

import { post } from "./api.js";
import { element, find, show as put, word } from "./dom.js";

let topology = null;

export function begin(picture) {
  topology = picture;
  find("trace-form").addEventListener("submit", trace);
  find("trace-by").addEventListener("change", ports);
  ports();  // a browser may have kept what was chosen before a reload
  find("trace-clear").addEventListener("click", () => { topology.undraw(); find("trace-clear").hidden = true; });
}

function ports() {
  const none = find("trace-by").value === "icmp";
  find("trace-port").disabled = none;
  find("trace-port").required = !none;
}

export function show(state) {
  const names = [...state.pods.map((it) => it.name), ...state.nodes.map((it) => it.name)];
  put(find("ends"), ...names.map((it) => element("option", { value: it })));
  if (find("source").value || find("destination").value || !state.nodes.some((it) => it.services.length)) return;
  const minions = state.nodes.filter((it) => it.services.some((unit) => unit.unit === "docker")).map((it) => it.name);
  const one = state.pods[0], other = state.pods.find((it) => it.node !== one.node) ?? state.pods[1];
  find("source").value = (other ? one.name : minions[0]) ?? "";
  find("destination").value = (other ? other.name : minions[1]) ?? "";
}

async function trace(event) {
  event.preventDefault();
  const by = find("trace-by").value;
  const asked = { source: find("source").value.trim(), destination: find("destination").value.trim(), protocol: by, ipv6: find("trace-ipv6").checked };
  if (by !== "icmp") asked.port = Number(find("trace-port").value);
  say("Probes are sent and watched…", null);
  event.submitter.disabled = true;
  try {
    const found = await post("/api/trace", asked);
    say(`${found.sent} probes sent, ${found.answered} answered. ${found.ok ? "Nothing is wrong on the way." : ""}`, found.ok);
    topology.draw(found);
    find("trace-clear").hidden = false;
    tell(found);
  } catch (error) {
    say(error.message, false);
    put(find("trace-result"));
  } finally {
    event.submitter.disabled = false;
  }
}

function say(text, good) {
  find("trace-said").textContent = text;
  find("trace-said").className = `said ${good === true ? "good" : good === false ? "bad" : "quiet"}`;
}

function tell(found) {
  find("trace-result").replaceChildren(...found.diagnoses.map(diagnosis), ...found.notes.map((it) => element("p", { class: "quiet" }, `Note: ${it}`)),
    ...["there", "back"].map((way) => element("details", { open: !found.ok && way === "there" },
      element("summary", {}, `${way === "there" ? "There" : "The answer's way"}: ${found[way].length} hops`), hops(found[way]))));
}

function hops(way) {
  return element("ol", { class: "hops" }, ...way.map((it) => {
    const place = it.namespace ? `${it.machine}/${it.namespace}` : it.machine;
    const seen = it.came === null ? "" : it.lost ? `${it.came} seen, then ${it.came - it.lost}` : `${it.came} seen`;
    return element("li", {},
      element("button", { type: "button", class: "plain", title: "Show it in the picture", click: () => topology.pickPlace(it.machine, it.namespace) }, place),
      element("span", { class: "quiet" }, ` ${it.component} `), element("span", {}, it.told), " ",
      word([it.action, it.reason].filter(Boolean).join(" "), it.reason ? false : null),
      element("span", { class: "quiet" }, ` ${seen}`));
  }));
}

function diagnosis(it) {
  const copied = element("span", { class: "quiet", role: "status" });
  const copy = element("button", { type: "button", click: async () => {
    try { await navigator.clipboard.writeText(it.fix); copied.textContent = "copied"; } catch { copied.textContent = "select it by hand"; }
  } }, "Copy");
  const rows = { expected: it.expected, found: it.found, so: it.because, seen: it.evidence };
  return element("div", { class: "diagnosis" },
    element("h3", {}, word(it.reason, false), ` at ${it.place}${it.way === "back" ? ", on the answer's way" : ""}`),
    element("dl", {}, ...Object.entries(rows).flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
    element("div", { class: "fix" }, element("pre", { tabindex: "0", "aria-label": "What to type" }, it.fix), copy, copied));
}
