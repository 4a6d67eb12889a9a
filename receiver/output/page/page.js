// The call in a browser: one WebSocket for indicators and set-up, one WebRTC connection for picture and sound.

import { Graph, Making } from "./draw.js";

const MEDIA = ["video", "audio"];
const GATHER_MS = 300; // the receiver learns a browser's address from its first packets; waiting longer brings nothing
const AGAIN_MS = 1000;
const LONGEST_MS = 8000;
const ENDS = 1001; // the receiver's program ends
const FULL = 4001; // code with which the receiver closes the WebSocket of one viewer too many
const QUALITY = {
  connecting: "Connecting",
  good: "Good link",
  slow: "Slow link",
  losing: "Link is losing packets",
  stalled: "Nothing arrives",
};

const find = (id) => document.getElementById(id);
const say = (id, text) => {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text; // live regions speak every change
};
const number = (value, digits = 1) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const size = (bytes) => (bytes < 1e6 ? `${number(bytes / 1000, 0)} kB` : `${number(bytes / 1e6)} MB`);

const graph = new Graph(find("graph"));
const making = new Making(find("held-sources"), find("motion"));
let socket = null;
let connection = null;
let state = null; // the newest from the receiver
let refusal = ""; // what the receiver said before it closed
let wait = AGAIN_MS;

function connect() {
  const url = new URL("live", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = () => {
    refusal = "";
    play();
    tell({ making: find("making").open });
    tell({ hearing: !find("video").muted });
  };
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = (event) => lost(event.code);
}

function take(message) {
  if (message.error) refusal = message.error;
  if (message.answer) connection.setRemoteDescription({ type: "answer", sdp: message.answer });
  if (message.state) show(message.state);
  if (message.sources) making.showSources(message.sources);
  if (message.driving !== undefined) {
    making.showDriving(message.driving);
    if (message.driving) say("keypoints", `The ${message.driving.length} keypoints`);
  }
}

async function lost(code) {
  connection?.close();
  state = null;
  showState(null);
  cover(refusal || `The receiver ${code === ENDS ? "has ended" : "does not answer"}. Trying again…`);
  if (code !== FULL && !(await valid())) return;
  setTimeout(connect, code === FULL ? LONGEST_MS : wait);
  wait = Math.min(2 * wait, LONGEST_MS);
}

/** Whether it is worth trying again. */
async function valid() {
  try {
    const response = await fetch(location.pathname, { cache: "no-store" });
    if (response.status === 403) cover(await response.text());
    return response.status !== 403;
  } catch {
    return true;
  }
}

async function play() {
  connection?.close();
  const mine = (connection = new RTCPeerConnection());
  MEDIA.forEach((kind) => mine.addTransceiver(kind, { direction: "recvonly" }));
  mine.getReceivers().forEach((receiver) => {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // the receiver has smoothed the jitter
  });
  mine.ontrack = ({ track, streams }) => {
    const stream = streams[0] ?? new MediaStream([track]);
    for (const id of ["video", "drawn"]) {
      if (find(id).srcObject !== stream) find(id).srcObject = stream; // both tracks come with one stream
    }
  };
  mine.onconnectionstatechange = () => {
    if (mine === connection && mine.connectionState === "connected") wait = AGAIN_MS;
    if (mine === connection && mine.connectionState === "failed") setTimeout(replay, AGAIN_MS, mine);
  };
  await mine.setLocalDescription();
  await gathered(mine);
  if (mine === connection && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ offer: mine.localDescription.sdp }));
  }
}

function replay(broken) {
  if (broken === connection && socket.readyState === WebSocket.OPEN) play();
}

function gathered(mine) {
  return new Promise((resolve) => {
    if (mine.iceGatheringState === "complete") resolve();
    mine.onicegatheringstatechange = () => mine.iceGatheringState === "complete" && resolve();
    setTimeout(resolve, GATHER_MS);
  });
}

function cover(text) {
  say("message", text);
  find("cover").hidden = false;
  find("full").hidden = find("sound").hidden = true;
  mark(null);
}

function show(next) {
  if (state?.call?.number !== next.call?.number) {
    graph.clear();
    making.clear();
  }
  state = next;
  showState(next);
  const call = next.call;
  if (call) {
    graph.add(call.seconds, call.wire_in_kbps + call.wire_back_kbps, call.av1_kbps);
    showCover();
  } else {
    cover(next.ended ? `The call is over (${next.ended}). Waiting for the next.` : "Waiting for a call…");
  }
}

function showCover() {
  const video = find("video");
  const pictures = video.videoWidth > 0 && state.call.sources > 0;
  if (!pictures) {
    cover(state.call.sources ? "The picture is on its way…" : "Waiting for the first picture of the person…");
    return;
  }
  find("cover").hidden = true;
  find("full").hidden = !document.fullscreenEnabled;
  find("sound").hidden = !state.call.sound;
  mark(state.call);
}

/** What is shown is synthetic, and says so wherever it is shown; without a call nothing is shown. */
function mark(call) {
  for (const id of ["mark", "drawn-mark"]) {
    find(id).hidden = !call;
    if (call) say(id, call.mark);
    find(id).classList.toggle("not-camera", Boolean(call) && (!call.camera || call.face_changed !== null));
  }
  find("drawn").classList.toggle("empty", !call);
}

function showState(next) {
  const call = next?.call;
  say("link", call ? QUALITY[call.quality] : "No call");
  find("link").dataset.quality = call ? call.quality : "none";
  say("fps", call ? `${number(call.fps)} of ${number(call.full_fps, 0)}` : "–");
  say("delay", call && call.delay_ms !== null ? `${call.delay_ms} ms` : "–");
  say("sources", call ? `${call.sources}` : "–");
  say("payload", call ? `${number(call.payload_kbps)} kbit/s` : "–");
  say("wire-in", call ? `${number(call.wire_in_kbps)} kbit/s` : "–");
  say("wire-back", call ? `${number(call.wire_back_kbps)} kbit/s` : "–");
  say("rung", call ? call.rung : "–");
  say("viewers", next ? `${next.viewers}` : "–");
  if (call) {
    say("av1", `${number(call.av1_kbps)} kbit/s`);
    say("spent", `So far ${size(call.wire_bytes)}. AV1 would have taken about ${size(call.av1_bytes)}.`);
  }
  say("held", holding(call));
  find("held").hidden = !holding(call);
  showReactions(call);
  showTrust(call?.trust);
  say("note", next?.note ?? "");
  find("note").hidden = !next?.note;
  showJoin(next?.link ?? "");
}

/** Buttons for who sends, too: the picture of this side performs an expression at the other end. */
function showReactions(call) {
  const labels = call?.reactions ?? [];
  const group = find("reactions");
  group.hidden = !labels.length;
  if (group.childElementCount !== labels.length) {
    group.replaceChildren(
      ...labels.map((label, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.id = `react-${index + 1}`;
        button.textContent = label;
        button.setAttribute("aria-keyshortcuts", `${index + 1}`);
        button.addEventListener("click", () => react(index + 1));
        return button;
      }),
    );
  }
  say("reaction", call?.reaction ?? "");
  find("reaction").hidden = !call?.reaction;
}

function react(number) {
  if (number <= find("reactions").childElementCount) tell({ react: number });
}

/** How to call; nothing once somebody does. */
function showJoin(link) {
  find("join").hidden = !link;
  find("frame").classList.toggle("waiting", Boolean(link));
  if (find("join-link").value === link) return;
  find("join-link").value = link;
  say("copied", "");
  if (link) find("join-code").src = `join.svg?${Date.now()}`; // another link is another picture
  else find("join-code").removeAttribute("src");
}

async function copyLink() {
  const field = find("join-link");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    say("copied", "Copied.");
  } catch {
    // a page that is not on this machine and without HTTPS has no clipboard of its own
    say("copied", document.execCommand("copy") ? "Copied." : "This browser does not let pages copy: copy it by hand.");
  }
}

/** Four words, which who calls has too unless somebody sits between; and what was wrong with them. */
function showTrust(trust) {
  const words = trust?.words?.join(" ") ?? "";
  const unsure = words && !trust.compared;
  say("words", words || "–");
  say("words-title", unsure ? "Words of this call: are they the same at the other end?" : "Words of this call");
  say("warning", (trust?.warnings ?? []).map((text) => `Warning: ${text}.`).join(" "));
  find("warning").hidden = !trust?.warnings?.length;
}

function holding(call) {
  if (!call || !call.sources) return "";
  if (call.quality === "stalled") return "Nothing arrives: the last picture is held";
  return call.face ? "" : "No face at the other end: the last picture is held";
}

function tell(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Browsers let a page be heard only after a click or a key. */
function toggleSound() {
  const video = find("video");
  if (find("sound").hidden) return;
  video.muted = !video.muted;
  say("sound", video.muted ? "Turn sound on" : "Turn sound off");
  find("sound").classList.toggle("off", video.muted);
  tell({ hearing: !video.muted });
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (!find("full").hidden) find("frame").requestFullscreen();
}

function playByHand() {
  find("play").hidden = true;
  find("video").play();
}

find("making").addEventListener("toggle", () => tell({ making: find("making").open }));
find("sound").addEventListener("click", toggleSound);
find("copy").addEventListener("click", copyLink);
find("full").addEventListener("click", toggleFull);
find("play").addEventListener("click", playByHand);
find("video").addEventListener("loadedmetadata", () => {
  if (state?.call) showCover();
  find("video").play().catch(() => (find("play").hidden = false)); // a browser set to play nothing by itself
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "f") toggleFull();
  if (event.key === "m" && !event.repeat) toggleSound();
  if (/^[1-6]$/.test(event.key) && !event.repeat) react(Number(event.key));
});
connect();
