// The page: what is shown, said and pressed.

import { Camera } from "./camera.js";
import { Link } from "./link.js";
import { Source } from "./source.js";
import { Stats } from "./stats.js";
import { request } from "./token.js";
import { Viewing } from "./viewing.js";

const STATS_MS = 1000;
const ASK_EVERY = 2;
const STALLED_MS = 3000;
const IDLE_MS = 3500;
const NEXT_PERSON = "next-person";

const $ = (id) => document.getElementById(id);
const person = $("person");
const source = new Source($("source"), $("source-video"), $("source-name"), $("source-button"));
const stats = new Stats(person);
const link = new Link(() => new Viewing(showPicture), showState);
const camera = new Camera($("camera-button"), (stream) => { source.own = stream; }, showNotice);
let server = {};
let idleTimer = 0;

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

function showState(state, sentence) {
  document.body.dataset.state = state;
  $("play").hidden = true;
  $("sentence").textContent = sentence;
  $("state").textContent = { connecting: "Connecting", live: "Live", waiting: "Reconnecting" }[state];
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
  const sentence = camera.notice || (live && (server.notice || (stalled && "Waiting for a picture…")));
  $("notice").hidden = !sentence;
  if (sentence) $("notice").textContent = sentence;
}

function showStats({ fps, delayMs }) {
  const whole = Number.isFinite(server.delay_ms);
  const parts = [`${Math.round(fps)} fps`];
  if (delayMs !== null) parts.push(`${Math.round(delayMs + (whole ? server.delay_ms : 0))} ms`);
  $("stats").textContent = parts.join("  ·  ");
  $("stats").title = `Pictures per second, and the time from the ${whole ? "camera" : "server"} to this screen`;
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
    for (const row of document.querySelectorAll("[data-command]")) {
      row.hidden = !server.commands.includes(row.dataset.command);
    }
    for (const row of document.querySelectorAll("[data-publish]")) row.hidden = !server.publisher;
  } catch {
    if (stats.stalledMs > STATS_MS) link.renew();  // neither answers nor pictures: it has gone
  }
}

async function refresh(round) {
  if (round % ASK_EVERY === 0) await askServer();
  if (document.body.dataset.state === "live") {
    showStats(stats.read(await link.stats()));
    showNotice();
  }
  setTimeout(refresh, STATS_MS, round + 1);
}

function wake() {
  document.body.classList.remove("idle");
  clearTimeout(idleTimer);
  idleTimer = setTimeout(() => {
    const awaited = server.publisher === "awaited";  // then the button for it has to be seen
    document.body.classList.toggle("idle", document.body.dataset.state === "live" && !awaited && !$("help").open);
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

function nextPerson() {
  link.ask(NEXT_PERSON);
}

function useCamera() {
  if (server.publisher) camera.toggle();
}

const KEYS = {
  f: toggleFullscreen, s: () => source.toggle(), c: () => source.move(), v: useCamera, n: nextPerson, "?": toggleHelp,
};

document.addEventListener("keydown", (event) => {
  wake();
  if (!event.ctrlKey && !event.metaKey && !event.altKey) KEYS[event.key]?.();
});
for (const kind of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(kind, wake);
$("play").addEventListener("click", play);
$("help-button").addEventListener("click", toggleHelp);
$("fullscreen-button").addEventListener("click", toggleFullscreen);
$("fullscreen-button").hidden = !document.fullscreenEnabled;
person.addEventListener("resize", () => {
  $("frame").style.setProperty("--aspect", person.videoWidth / person.videoHeight);
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
