import { SHOWN, bars, plot } from "./charts.js";

const NUDGE = 0.1; // of an action, by an arrow key
const PATIENCE = 700; // milliseconds until the page says that it waits: at first, the model is compiled
const GONE = 410; // the server has forgotten the dream
const MANY = 9; // choices that have a number key
const SERIES = [
  { name: "reward", label: "reward" },
  { name: "value", label: "value" },
  { name: "continues", label: "goes on" },
];

const $ = (id) => document.getElementById(id);
const clip = (x) => Math.min(1, Math.max(-1, x));
let about; // the run
let dream = null; // name of this tab's dream
let frames = []; // of this dream, the start included
let action = []; // what the person would do now
let playing = false;
let autopilot = false;
let total = 0; // rewards of this dream

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Asking the server

async function ask(path, question) {
  const slow = setTimeout(() => ($("mode").textContent = "waiting for the model …"), PATIENCE);
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question) };
  try {
    const response = await fetch(path, question && post);
    const answer = await response.json();
    if (response.status === GONE) dream = null;
    if (!response.ok) throw new Error(answer.error);
    return answer;
  } catch (error) {
    throw error instanceof TypeError ? new Error("the server does not answer: does `dreamerax dream` still run?") : error;
  } finally {
    clearTimeout(slow);
  }
}

function trouble(error) {
  $("trouble").textContent = error ? error.message : "";
  $("trouble").hidden = !error;
  if (error) play(false);
}

let beginning = 0; // the newest wish for a dream; answers to older ones are dropped
async function begin(path, question) {
  const wish = ++beginning;
  dream = null;
  try {
    const answer = await ask(path, question);
    if (wish !== beginning) return;
    trouble(null);
    dream = answer.dream;
    frames = [answer];
    total = 0;
    if (answer.seen) {
      $("start-label").textContent = answer.start;
      figures($("seen"), answer.seen, "seen last");
      figures($("goal"), answer.goal, "goal");
    }
    show();
  } catch (error) {
    if (wish === beginning) trouble(error);
  }
}

const restart = () => (dream ? begin("/api/again", { dream }) : there());
const there = () => begin("/api/begin", { where: Number($("where").value) });

function elsewhere() {
  $("where").value = Math.random();
  there();
}

let asked = null; // the step under way
async function step() {
  if (!dream || asked === dream) return;
  const name = (asked = dream);
  try {
    const frame = await ask("/api/step", { dream: name, action: autopilot ? null : action });
    if (dream !== name) return; // begun anew meanwhile
    frames.push(frame);
    frames.splice(0, frames.length - SHOWN - 1);
    total += frame.reward;
    if (autopilot) take(frame.action);
    show();
  } catch (error) {
    if (dream === name) trouble(error);
  } finally {
    if (asked === name) asked = null;
  }
}

let round = 0; // ends a loop that is not the newest
async function play(on) {
  playing = on;
  $("play").textContent = on ? "Pause" : "Play";
  const mine = ++round;
  while (playing && mine === round) {
    const began = performance.now();
    await step();
    const pause = 1000 / Number($("speed").value) - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, pause)));
  }
}

// What the person does

function take(wanted) {
  action = wanted;
  const controls = $("action").querySelectorAll("input, button");
  controls.forEach((control, i) => {
    if (about.action.discrete) return control.setAttribute("aria-pressed", String(action[i] > 0.5));
    control.value = action[i];
    control.nextElementSibling.value = action[i].toFixed(2);
  });
}

function steer(wanted) {
  pilot(false);
  take(wanted);
}

/** First entry of each group of choices, and the one after its last. */
function groups() {
  let end = 0;
  return about.action.groups.map((count) => [end, (end += count)]);
}

function choose(index) {
  const group = groups().find(([, end]) => index < end);
  if (group) steer(action.map((x, i) => (i < group[0] || i >= group[1] ? x : Number(i === index))));
}

function turn(group, amount) {
  const [first, end] = groups()[Math.min(group, about.action.groups.length - 1)];
  const count = end - first;
  choose(first + ((action.indexOf(1, first) - first + Math.sign(amount) + count) % count));
}

function nudge(index, amount) {
  if (about.action.discrete) turn(index, amount);
  else if (index < action.length) steer(action.map((x, i) => (i === index ? clip(x + amount) : x)));
}

function pilot(on) {
  autopilot = on;
  $("autopilot").setAttribute("aria-pressed", String(on));
}

const KEYS = {
  " ": () => play(!playing),
  ".": step,
  a: () => pilot(!autopilot),
  r: restart,
  s: elsewhere,
  0: () => about.action.discrete || steer(action.map(() => 0)),
  ArrowRight: () => nudge(0, NUDGE),
  ArrowLeft: () => nudge(0, -NUDGE),
  ArrowUp: () => nudge(1, NUDGE),
  ArrowDown: () => nudge(1, -NUDGE),
};

function press(event) {
  const own = event.target.matches("input") || (event.target.matches("button") && [" ", "Enter"].includes(event.key));
  if (own || event.ctrlKey || event.altKey || event.metaKey) return;
  if (about.action.discrete && event.key >= "1" && event.key <= String(MANY)) choose(Number(event.key) - 1);
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}

// What the page shows

function figures(parent, pictures, caption) {
  const names = Object.keys(pictures);
  if (parent.childElementCount !== names.length) {
    parent.replaceChildren(...names.map(() => element("figure", {}, element("img"), element("figcaption"))));
  }
  names.forEach((name, i) => {
    const [image, text] = parent.children[i].children;
    image.src = pictures[name];
    image.alt = `${name}, ${caption || "as the model dreams it"}`;
    text.textContent = [names.length > 1 ? name : "", caption].filter(Boolean).join(", ");
  });
}

function vectors(shown) {
  const names = Object.keys(shown);
  if ($("vectors").childElementCount !== names.length) {
    const made = names.map((name) => element("figure", {}, element("canvas"), element("figcaption", { textContent: name })));
    $("vectors").replaceChildren(...made);
  }
  names.forEach((name, i) => bars($("vectors").children[i], shown[name]));
}

function show() {
  const frame = frames.at(-1);
  figures($("pictures"), frame.pictures, "");
  vectors(frame.vectors);
  $("mode").textContent = frame.step ? "dreaming" : "as the model saw it";
  $("mode").classList.toggle("seeing", !frame.step);
  $("steps").textContent = frame.step ? `step ${frame.step} · rewards so far ${total.toFixed(2)}` : "";
  $("end").hidden = frame.continues === null || frame.continues > 0.5;
  for (const { name } of SERIES) {
    const chart = $(`chart-${name}`);
    chart.hidden = frame[name] === null; // the agent has no such thing
    if (chart.hidden) continue;
    chart.querySelector("output").value = frame[name].toFixed(name === "continues" ? 3 : 2);
    plot(chart, name, frames.map((each) => each[name]), name === "continues" ? 1 : null);
  }
}

// Setting up

const button = (i) => element("button", { textContent: i + 1, onclick: () => choose(i) });

function slider(i) {
  const oninput = (event) => steer(action.map((x, j) => (i === j ? Number(event.target.value) : x)));
  const range = element("input", { type: "range", min: -1, max: 1, step: 0.01, oninput });
  return element("label", {}, `action ${i + 1}`, range, element("output"));
}

function controls({ size, discrete }) {
  const firsts = groups().map(([first]) => first);
  const start = Array.from({ length: size }, (_, i) => Number(firsts.includes(i)));
  const made = start.map((_, i) => (discrete ? button(i) : slider(i)));
  if (discrete) $("action").append(...groups().map((group) => element("div", {}, ...made.slice(...group))));
  else $("action").append(...made);
  take(start);
}

function keys({ size, discrete }) {
  const steering = discrete
    ? [[`1 … ${Math.min(size, MANY)}`, "choose"]]
    : [["←", "→", "action 1"], ...(size > 1 ? [["↓", "↑", "action 2"]] : []), ["0", "all to zero"]];
  const others = [["space", "play, pause"], [".", "step"], ["a", "autopilot"], ["r", "restart"], ["s", "somewhere else"]];
  for (const entry of [...steering, ...others]) {
    const caps = entry.slice(0, -1).map((key) => element("kbd", { textContent: key }));
    $("keys").append(...caps.flatMap((cap) => [cap, " "]), entry.at(-1), " \u00a0 ");
  }
}

async function open() {
  about = await ask("/api/about");
  document.title = `dream: ${about.title.task}`;
  $("task").textContent = about.title.task;
  $("run").textContent = `dreamt by ${about.title.run}`;
  $("starts").textContent = about.starts;
  $("nothing").hidden = about.decoded.length > 0;
  for (const { name, label } of SERIES) {
    const reading = element("div", {}, label, element("output"));
    $("charts").append(element("div", { className: "chart", id: `chart-${name}` }, reading, element("canvas")));
  }
  controls(about.action);
  keys(about.action);
  const pace = () => ($("speed-now").value = `${$("speed").value} steps/s`);
  pace();
  $("speed").oninput = pace;
  $("play").onclick = () => play(!playing);
  $("once").onclick = step;
  $("again").onclick = restart;
  $("autopilot").onclick = () => pilot(!autopilot);
  $("elsewhere").onclick = elsewhere;
  $("where").onchange = there;
  addEventListener("keydown", press);
  // A control that was clicked must not take the keys for itself afterwards.
  addEventListener("pointerup", () => setTimeout(() => document.activeElement.blur()));
  addEventListener("resize", () => frames.length && show());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => frames.length && show());
  await there();
}

open().catch(trouble);
