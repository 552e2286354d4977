// What the server tells, as a page. The state is fetched whole when it changes shape; what nodes do comes as events.
import { layout } from "./layout.js";

const at = id => document.getElementById(id);
const narrow = matchMedia("(max-width: 52rem)");
const MARKS = { pending: "…", unused: "–", running: "▶", done: "✓", known: "=", failed: "✕", stopped: "■" };
const WORDS = {
  pending: "waits", unused: "is not needed", running: "runs", done: "done", known: "known already", failed: "failed",
  stopped: "stopped",
};
const MOST_NODES = 600;

let state = { nodes: [], links: [], history: [], problems: [], inputs: [], changed: [] };
let byId = new Map();
let chosen = null;
let drawn = "";
let elements = [];

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const seconds = value => `${value < 10 ? value.toFixed(2) : value.toFixed(1)}\u00a0s`;
const cut = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// The graph as a picture.

function drawGraph() {
  const { nodes, links } = state;
  const key = JSON.stringify([nodes.map(node => [node.id, node.type]), links, narrow.matches]);
  if (key === drawn) return nodes.forEach((_, index) => showNode(index));
  const focused = at("picture").contains(document.activeElement);
  drawn = key;
  elements = [];
  at("keys").hidden = !nodes.length;
  if (!nodes.length || nodes.length > MOST_NODES) {
    const text = nodes.length ? `${nodes.length} nodes are too many for a picture.` : "There is no valid graph yet.";
    return at("picture").replaceChildren(make("p", { class: "muted" }, text));
  }
  const down = narrow.matches;
  const [width, height] = down ? [124, 54] : [160, 56];
  const plan = layout(nodes.length, links, { width, height, gapAlong: down ? 30 : 40, gapAcross: down ? 8 : 14, down });
  const pad = 6;
  const svg = shape("svg", {
    width: plan.width + 2 * pad, height: plan.height + 2 * pad,
    viewBox: `${-pad} ${-pad} ${plan.width + 2 * pad} ${plan.height + 2 * pad}`,
    role: "group", "aria-label": `${counted(nodes.length, "node")}, ${counted(links.length, "link")}`,
  });
  // As small as can still be read; what does not fit then can be scrolled to.
  svg.style.minWidth = `${(plan.width + 2 * pad) * 0.75}px`;
  for (const { from, to, points } of plan.links) {
    const path = shape("path", { class: "link", d: curve(points, [width, height], down), "aria-hidden": "true" });
    path.dataset.from = from;
    path.dataset.to = to;
    svg.append(path);
  }
  nodes.forEach((node, index) => {
    const { x, y } = plan.nodes[index];
    const [left, top] = [x - width / 2, y - height / 2];
    const group = shape("g", { class: "node", tabindex: "-1", role: "button", transform: `translate(${left} ${top})` });
    const room = down ? 11 : 16;
    group.append(
      shape("rect", { class: "box", width, height, rx: 7 }),
      shape("rect", { class: "side", x: 0, y: 7, width: 5, height: height - 14, rx: 2 }),
      shape("text", { class: "mark", x: 20, y: 24 }),
      shape("text", { class: "id", x: 34, y: 24 }, cut(node.id, room)),
      shape("text", { class: "type", x: 12, y: 43 }, cut(node.type, room + 5)),
      shape("rect", { class: "bar", x: 7, y: height - 6, width: 0, height: 3 }),
    );
    group.addEventListener("click", () => choose(index, true));
    group.addEventListener("focus", () => choose(index, false));
    group.addEventListener("keydown", event => move(event, index, down));
    elements.push({ group, width, x, y });
    svg.append(group);
  });
  at("picture").replaceChildren(svg);
  const index = chosen === null ? -1 : nodes.findIndex(node => node.id === chosen);
  elements[Math.max(index, 0)].group.setAttribute("tabindex", "0");
  if (focused) elements[Math.max(index, 0)].group.focus();
  nodes.forEach((_, index) => showNode(index));
}

function curve(points, [width, height], down) {
  const path = points.map(({ x, y }) => ({ x, y }));
  const [first, last] = [path[0], path.at(-1)];
  if (down) (first.y += height / 2), (last.y -= height / 2);
  else (first.x += width / 2), (last.x -= width / 2);
  // A bend is passed straight, so that the link does not lie under the nodes of its layer.
  const half = down ? height / 2 : width / 2;
  const stops = path.flatMap((point, i) => {
    if (i === 0 || i === path.length - 1) return [point];
    return down
      ? [{ x: point.x, y: point.y - half }, { x: point.x, y: point.y + half }]
      : [{ x: point.x - half, y: point.y }, { x: point.x + half, y: point.y }];
  });
  let d = `M${stops[0].x} ${stops[0].y}`;
  for (let i = 1; i < stops.length; i++) {
    const [a, b] = [stops[i - 1], stops[i]];
    const middle = down ? (a.y + b.y) / 2 : (a.x + b.x) / 2;
    d += down ? `C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.y}` : `C${middle} ${a.y} ${middle} ${b.y} ${b.x} ${b.y}`;
  }
  return d;
}

function told(node) {
  if (node.state === "running" && node.total > 1) return `step ${node.step} of ${node.total}`;
  if (node.state === "done") return `done in ${seconds(node.seconds)}`;
  return WORDS[node.state];
}

function showNode(index) {
  const node = state.nodes[index], element = elements[index];
  if (!element) return;
  const { group, width } = element;
  const wrong = state.problems.some(problem => problem.node === node.id && problem.severity === "error");
  group.setAttribute("class", `node ${wrong ? "failed" : node.state}${node.id === chosen ? " chosen" : ""}`);
  group.querySelector(".mark").textContent = wrong ? MARKS.failed : MARKS[node.state];
  const part = node.state === "running" && node.total > 1 ? node.step / node.total : 0;
  group.querySelector(".bar").setAttribute("width", part * (width - 14));
  group.setAttribute("aria-label", `${node.id}, ${node.type}: ${wrong ? "has a problem" : told(node)}`);
  if (node.id === chosen) showDetails(node);
}

/** The node that lies nearest in the direction of an arrow key; nearer to the side counts double. */
function move(event, index, down) {
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = directions[event.key];
  let next = null;
  if (step) {
    const here = elements[index];
    let best = Infinity;
    elements.forEach((there, other) => {
      const ahead = (there.x - here.x) * step[0] + (there.y - here.y) * step[1];
      const aside = Math.abs((there.x - here.x) * step[1]) + Math.abs((there.y - here.y) * step[0]);
      if (ahead > 1 && aside <= 2 * ahead && ahead + 2 * aside < best) (best = ahead + 2 * aside), (next = other);
    });
  } else if (event.key === "Home") next = 0;
  else if (event.key === "End") next = elements.length - 1;
  else if (event.key === "Enter" || event.key === " ") next = index;
  else return;
  event.preventDefault();
  if (next !== null) elements[next].group.focus();
}

function choose(index, focus) {
  const before = state.nodes.findIndex(node => node.id === chosen);
  chosen = state.nodes[index].id;
  elements.forEach(({ group }, other) => group.setAttribute("tabindex", other === index ? "0" : "-1"));
  for (const link of document.querySelectorAll(".link")) {
    link.classList.toggle("near", link.dataset.from == index || link.dataset.to == index);
  }
  if (before >= 0) showNode(before);
  showNode(index);
  if (focus) elements[index].group.focus();
}

let detailed = "";
function showDetails(node) {
  const key = JSON.stringify(node);
  if (key === detailed) return;
  detailed = key;
  at("details-title").textContent = node.id;
  const rows = [["type", node.type], ["state", told(node)], ...node.inputs];
  const body = [terms(rows)];
  if (node.message) body.unshift(make("p", {}, node.message));
  if (node.preview) body.push(preview(node));
  at("details-body").replaceChildren(...body);
}

const terms = (rows, other = () => false) =>
  make("dl", {}, ...rows.flatMap(([name, value]) => [
    make("dt", {}, name), make("dd", other(name, value) ? { class: "other" } : {}, value === "" ? "(empty)" : value),
  ]));

const preview = node =>
  make("figure", {},
    make("img", { src: `preview/${encodeURIComponent(node.id)}?${state.run}-${node.preview}`, alt: `What ${node.id} has made so far` }),
    make("figcaption", {}, `${node.id}, ${told(node)}`));

// What is not the graph.

function showLive() {
  const nodes = state.nodes.filter(node => node.preview && node.state === "running");
  at("live").hidden = !nodes.length;
  const box = document.querySelector("#live .figures");
  if (box.children.length !== nodes.length) return box.replaceChildren(...nodes.map(preview));
  // The old picture stays until the new one is there.
  nodes.forEach((node, i) => {
    const fresh = preview(node);
    const [image, caption] = box.children[i].children;
    const source = fresh.firstChild.getAttribute("src");
    if (image.getAttribute("src") !== source) image.setAttribute("src", source);
    caption.textContent = fresh.lastChild.textContent;
  });
}

function showProblems() {
  at("problems").hidden = !state.problems.length;
  const only = state.problems.every(problem => problem.severity === "warning");
  at("problems-title").textContent = only ? "Warnings" : "Problems";
  document.querySelector("#problems ul").replaceChildren(...state.problems.map(problem => {
    const item = make("li", { class: problem.severity === "warning" ? "warning" : "" }, problem.message);
    if (problem.location) {
      const { line, column } = problem.location;
      item.append(make("p", { class: "where" }, `${state.file}:${line}:${column}`));
    }
    (problem.hints ?? []).forEach(hint => item.append(make("p", { class: "hint" }, `Hint: ${hint}`)));
    return item;
  }));
}

const PHASES = {
  loading: ["loading plugins", ""], running: ["running", "running"], stopping: ["stopping an obsolete run", "stopped"],
  lost: ["the program has gone", "failed"],
};

function showPhase(phase = state.phase) {
  const last = state.history[0];
  let [text, kind] = PHASES[phase] ?? ["waiting for changes", ""];
  if (phase === "running") {
    const over = state.nodes.filter(node => !["pending", "running"].includes(node.state)).length;
    text = `run ${state.run}: ${over} of ${state.nodes.length} nodes`;
  } else if (!PHASES[phase] && last) {
    kind = { done: "done", failed: "failed", invalid: "failed" }[last.status] ?? "stopped";
    text = { done: `run ${last.run} done in ${seconds(last.seconds)}`, invalid: "the graph has problems",
      failed: `run ${last.run} failed`, obsolete: `run ${last.run} was obsolete` }[last.status] ?? `run ${last.run} was stopped`;
  }
  if (state.asks && state.changed.length) text += `; changed: ${state.changed.join(", ")}`;
  if (at("phase").textContent !== text) at("phase").textContent = text;
  at("phase").dataset.phase = kind;
  document.title = `${state.name || "dc-graph"}: ${text}`;
  at("run").disabled = phase === "lost";
  at("stop").disabled = phase !== "running";
}

function figures(run, large) {
  return make("div", { class: large ? "figures large" : "figures" }, ...run.pictures.map(({ id, name }) =>
    make("figure", {},
      make("a", { href: `pictures/${id}`, target: "_blank", rel: "noopener" },
        make("img", { src: `pictures/${id}`, alt: `${name} of run ${run.run}`, loading: "lazy" })),
      make("figcaption", {}, name))));
}

/** An input of a run that is another one than in the run before. */
const other = (run, before) => (name, value) =>
  before !== undefined && !before.inputs.some(([n, v]) => n === name && v === value) && run.inputs.some(([n]) => n === name);

const happened = run => `${run.ran} of ${counted(run.nodes, "node")} ran, ${seconds(run.seconds)}`;

let listed = "";
function showHistory() {
  const key = JSON.stringify(state.history);
  if (key === listed) return;
  listed = key;
  const good = state.history.filter(run => run.status === "done");
  const [last, before] = good;
  if (last) {
    const body = [make("p", { class: "muted" }, `Run ${last.run}: ${happened(last)}`)];
    if (last.pictures.length) body.push(figures(last, true));
    if (last.outputs.length) body.push(make("h3", {}, "Outputs"), terms(last.outputs));
    if (last.inputs.length) body.push(make("h3", {}, "Made with"), terms(last.inputs, other(last, before)));
    at("result").replaceChildren(...body);
  }
  const open = new Set([...document.querySelectorAll("#history details[open]")].map(details => details.dataset.run));
  const focused = document.activeElement?.closest?.("#history details")?.dataset.run;
  document.querySelector("#history ol").replaceChildren(...state.history.map(run => {
    const previous = good.find(earlier => earlier.run < run.run);
    const time = new Date(run.ended).toLocaleTimeString();
    const what = run.status === "done" ? happened(run) : run.message ?? "";
    const summary = make("summary", {}, `${run.run}. `, make("span", { class: `badge ${run.status}` }, run.status), ` ${time} `,
      make("span", { class: "muted" }, cut(what, 120)));
    const details = make("details", { "data-run": run.run, open: open.has(String(run.run)) ? "" : undefined }, summary);
    if (run.message) details.append(make("p", {}, run.message));
    if (run.inputs.length) details.append(terms(run.inputs, other(run, previous)));
    if (run.pictures.length) details.append(figures(run, false));
    return make("li", {}, details);
  }));
  if (focused) document.querySelector(`#history details[data-run="${focused}"] summary`)?.focus();
}

function show() {
  at("name").textContent = state.name || "dc-graph watch";
  at("file").textContent = state.file;
  drawGraph();
  showProblems();
  showLive();
  showHistory();
  showPhase();
}

// What the server tells.

let fetching = false, again = false;
async function fetchState() {
  if (fetching) return (again = true);
  fetching = true;
  do {
    again = false;
    try {
      state = await (await fetch("state")).json();
      byId = new Map(state.nodes.map((node, index) => [node.id, index]));
      show();
    } catch {
      // The stream of events tells when the server is there again.
    }
  } while (again);
  fetching = false;
}

const changes = {
  started: node => (node.state = "running"),
  progress: (node, event) => ([node.step, node.total] = [event.step, event.total]),
  preview: node => node.preview++,
  cached: node => (node.state = "known"),
  finished: (node, event) => ([node.state, node.seconds] = ["done", event.seconds]),
  failed: (node, event) => ([node.state, node.message] = ["failed", event.message]),
};

let pending = new Set();
function hear({ data }) {
  const event = JSON.parse(data);
  const index = byId.get(event.node);
  if (changes[event.event] && index !== undefined) {
    changes[event.event](state.nodes[index], event);
    if (!pending.size) requestAnimationFrame(showPending);
    pending.add(index);
  } else if (!["log", "wrote", "kept", "reads", "run_started", "exec"].includes(event.event)) fetchState();
}

function showPending() {
  const now = pending;
  pending = new Set();
  now.forEach(showNode);
  showLive();
  showPhase();
}

const events = new EventSource("events");
events.addEventListener("open", fetchState);
events.addEventListener("message", hear);
events.addEventListener("error", () => showPhase("lost"));
narrow.addEventListener("change", drawGraph);
for (const wish of ["run", "stop"]) at(wish).addEventListener("click", () => fetch(wish, { method: "POST" }).catch(() => {}));
