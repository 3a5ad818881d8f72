// The page: what is shown, said and pressed.

import { Camera } from "./camera.js";
import { Figure } from "./figure.js";
import { keepPicture, Recording } from "./keep.js";
import { Link } from "./link.js";
import { showLinks } from "./links.js";
import { Numbers } from "./numbers.js";
import { SocketViewing } from "./socket_viewing.js";
import { Sound } from "./sound.js";
import { Source } from "./source.js";
import { Stats } from "./stats.js";
import { Subjects } from "./subjects.js";
import { request } from "./token.js";
import { Viewing } from "./viewing.js";

const STATS_MS = 1000;
const ASK_EVERY = 2;
const STALLED_MS = 3000;
const LOST_MS = 5000;
const IDLE_MS = 3500;
const TOLD_MS = 5000;

const $ = (id) => document.getElementById(id);
const person = $("person");
const source = new Source($("source"), $("source-video"), $("source-name"), $("source-button"));
const stats = new Stats(person);
const link = new Link(makeSession, showState);
const sound = new Sound(person, $("sound-button"), () => link.change());
const camera = new Camera($("camera-button"), (stream) => { source.own = stream; }, showNotice, followCamera);
const figure = new Figure($("figure"), person);
const numbers = new Numbers($("numbers"));
const subjects = new Subjects($("subjects"), showSubject);
const recording = new Recording((active) => { document.body.classList.toggle("recording", active); showState(); });
let overHttp = new URL(location.href).searchParams.get("transport") === "ws";
let server = {};
const wanted = {};
let liveAt = 0;
let told = "";
let toldTimer = 0;
let idleTimer = 0;

/** Where WebRTC does not get through, pictures come over the HTTP port, without sound. */
function makeSession(problem) {
  overHttp ||= Boolean(problem?.blocked) && SocketViewing.possible;
  if (overHttp) return new SocketViewing(showPicture);
  return new Viewing(showPicture, sound.on ? (track) => sound.play(track) : null);
}

function showPicture(stream, index) {
  if (index > 0) {
    source.sent = stream;
    return;
  }
  person.srcObject = stream;
  person.play().catch((problem) => {
    if (problem.name === "NotAllowedError") askToPlay();
  });
}

function askToPlay() {
  document.body.dataset.state = "asking";
  $("state").textContent = "Ready";
  $("play").hidden = false;
  $("sentence").textContent = "Press to watch";
  $("play").focus();
}

async function play() {
  $("play").hidden = true;
  await Promise.allSettled([person.play(), source.video.play()]);
  showState("live", "");
}

function showState(state = document.body.dataset.state, sentence = $("sentence").textContent) {
  if (state === "live" && document.body.dataset.state !== "live") {
    liveAt = performance.now();
    watchFigure();
  }
  document.body.dataset.state = state;
  $("play").hidden = true;
  $("sentence").textContent = sentence;
  const live = recording.active ? "Recording" : "Live";
  $("state").textContent = { connecting: "Connecting", live, waiting: "Reconnecting", refused: "No access", asking: "Ready" }[state];
  if (state !== "live") {
    $("stats").textContent = "";
    wake();
  } else if (person.paused && person.srcObject) {
    person.play().catch(askToPlay);
  }
  showNotice();
}

function showNotice() {
  const stalled = stats.stalledMs > STALLED_MS && !document.hidden;
  const live = document.body.dataset.state === "live";
  const sentence = camera.notice || told || (live && (server.notice || (stalled && "Waiting for a picture…")));
  $("notice").hidden = !sentence;
  if (sentence && sentence !== $("notice").textContent) $("notice").replaceChildren(...unbroken(sentence));
}

/** The parts of a sentence, its command-line options in elements that no line end breaks. */
function unbroken(sentence) {
  return sentence.split(/(--[\w-]+)/).map((part) => {
    if (!part.startsWith("--")) return part;
    const option = document.createElement("span");
    option.className = "option";
    option.textContent = part;
    return option;
  });
}

/** Say something for a while. */
function tell(sentence) {
  told = sentence;
  clearTimeout(toldTimer);
  if (sentence) toldTimer = setTimeout(tell, TOLD_MS, "");
  showNotice();
}

/** Ask the server for a command of docs/control.md, and say it if nothing came of it. */
async function ask(command, value) {
  if (!server.commands?.includes(command)) return;
  const reply = await link.ask(command, value);
  tell(reply?.error ?? "");
  await askServer();
}

/** Ask for another state than the present one, or than the one that was asked for and is not answered yet. */
async function change(command, other) {
  const mine = wanted[command] = { value: other((wanted[command] ?? { value: server.state?.[command] }).value) };
  await ask(command, mine.value);
  if (wanted[command] === mine) delete wanted[command];
}

async function showSubject(name) {
  tell(`Loading ${name}…`);
  await ask("subject", name);
}

function watchFigure() {
  figure.reset();
  link.session?.watchFigure(figure.shown ? (message) => figure.take(message) : null);
}

function toggleFigure() {
  if (overHttp) return tell("The figure is not drawn without WebRTC, which does not get through here.");
  figure.shown = !figure.shown;
  watchFigure();
}

async function togglePictureInPicture() {
  try {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await person.requestPictureInPicture();
  } catch { /* the browser said no: nothing changes */ }
}

function showStats({ fps, delayMs }) {
  const whole = Number.isFinite(server.delay_ms);
  const parts = [`${Math.round(fps)} fps`];
  if (delayMs !== null) parts.push(`${Math.round(delayMs + (whole ? server.delay_ms : 0))} ms`);
  $("stats").textContent = parts.join("  ·  ");
  $("stats").title = `Pictures per second, and the time from the ${whole ? "source" : "server"} to this screen`;
}

async function askServer() {
  try {
    const response = await request("/stats", { signal: AbortSignal.timeout(5000) });
    if (!response.ok) return;
    const answer = await response.json();
    if (server.instance && answer.instance !== server.instance) link.renew();  // it was restarted
    server = answer;
    document.title = $("title").textContent = server.title;
    person.setAttribute("aria-label", `${server.state?.subject ?? server.streams[0].name}, live`);
    source.name = server.streams[1] ? server.state?.source ?? server.streams[1].name : "";
    subjects.update(server.subjects, server.state?.subject);
    sound.offered = server.sound && !overHttp;
    camera.asked = server.publisher === "asked";
    $("subject-button").hidden = !(subjects.several && server.commands.includes("subject"));
    $("link-row").hidden = !(server.links.length || server.commands.length);  // who only watches gives no links
    for (const row of document.querySelectorAll("[data-command]")) {
      row.hidden = !server.commands.includes(row.dataset.command);
    }
    for (const row of document.querySelectorAll("[data-publish]")) row.hidden = !server.publisher;
  } catch {
    if (stats.stalledMs > STATS_MS) link.renew();  // neither answers nor pictures: it has gone
  }
}

async function refresh(round) {
  if (document.body.dataset.state === "refused") return;
  if (round % ASK_EVERY === 0) await askServer();
  if (document.body.dataset.state === "live") {
    const seen = stats.read(await link.stats());
    showStats(seen);
    numbers.show(seen, server);
    // Pictures flow, but not to here: the way may have changed, of which WebRTC learns late.
    const lostMs = Math.min(stats.stalledMs, performance.now() - liveAt);
    if (server.flowing && lostMs > LOST_MS && !document.hidden && !person.paused) link.renew();
    showNotice();
  }
  setTimeout(refresh, STATS_MS, round + 1);
}

function wake() {
  document.body.classList.remove("idle");
  clearTimeout(idleTimer);
  idleTimer = setTimeout(() => {
    const awaited = server.publisher === "awaited";  // then the button for it has to be seen
    document.body.classList.toggle("idle", document.body.dataset.state === "live" && !awaited && !document.querySelector("dialog[open]"));
  }, IDLE_MS);
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => { /* the browser said no: nothing changes */ });
}

function toggleHelp() {
  if ($("help").open) $("help").close();
  else $("help").showModal();
}

function giveLinks() {
  if (server.links?.length) showLinks($("links"), $("codes"), server.links, Boolean(server.publisher));
  else if (!$("link-row").hidden) tell("Only this machine can watch: begin with --host 0.0.0.0 to let other devices.");
}

function toggleSound() {
  if (!$("sound-button").hidden) sound.toggle();
  else tell(overHttp ? "There is no sound without WebRTC, which does not get through here." : "There is no sound.");
}

function chooseSubject() {
  if (subjects.several) subjects.open();
  else if (server.commands?.includes("subject")) tell("There is no other subject here: trainer fit makes one of a video.");
}

function useCamera() {
  if (server.publisher) camera.toggle();
}

/** The session may follow something else that was chosen meanwhile. */
function followCamera() {
  if (server.state && server.state.source !== "whip") ask("source", "whip");
}

const KEYS = {
  f: toggleFullscreen,
  p: togglePictureInPicture,
  s: () => source.toggle(),
  c: () => source.move(),
  o: toggleFigure,
  i: () => numbers.toggle(),
  d: () => keepPicture(person, server.title),
  r: () => recording.toggle(person.srcObject, server.title),
  l: giveLinks,
  u: toggleSound,
  v: useCamera,
  a: chooseSubject,
  n: () => ask("next-person"),
  m: () => change("mirror", (on) => !on),
  e: () => change("fade", (to) => (to === "plate" ? "in" : "plate")),
  k: () => ask("calibrate"),
  "?": toggleHelp,
};

document.addEventListener("keydown", (event) => {
  wake();
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
  if (!elsewhere && !document.querySelector("dialog[open]:not(#help)")) KEYS[event.key.toLowerCase()]?.();
});
for (const button of document.querySelectorAll("#help [data-key]")) {
  button.addEventListener("click", () => {
    $("help").close();
    if (button.dataset.key !== "?") KEYS[button.dataset.key]();
  });
}
for (const kind of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(kind, wake);
$("play").addEventListener("click", play);
$("help-button").addEventListener("click", toggleHelp);
$("fullscreen-button").addEventListener("click", toggleFullscreen);
$("fullscreen-button").hidden = !document.fullscreenEnabled;
$("subject-button").addEventListener("click", () => subjects.open());
$("pip-row").hidden = !document.pictureInPictureEnabled;
$("record-row").hidden = !Recording.possible;
if (new URL(location.href).searchParams.get("view") === "stage") document.body.dataset.view = "stage";
person.addEventListener("resize", () => {
  $("frame").style.setProperty("--aspect", person.videoWidth / person.videoHeight);
});
addEventListener("online", () => link.renew());
addEventListener("beforeunload", (event) => {
  if (recording.active) event.preventDefault();  // it would be lost
});
addEventListener("pagehide", () => {
  camera.stop();
  link.stop();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) link.run();
});

wake();
link.run();
refresh(0);
