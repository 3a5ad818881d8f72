// A viewer by libdatachannel (node-datachannel): WHEP endpoint. It gives the command "wave" over its data channel.
// Prints how many RTP packets came within two seconds of the first, and the command's reply, as JSON.

import { createRequire } from "node:module";

const { default: rtc } = await import(createRequire(`${process.env.NODE_MODULES}/`).resolve("node-datachannel"));
const [url] = process.argv.slice(2);
const connection = new rtc.PeerConnection("viewer", { iceServers: [] });
const gathered = new Promise((resolve) => {
  connection.onGatheringStateChange((state) => { if (state === "complete") resolve(); });
});
const video = new rtc.Video("0", "RecvOnly");
video.addVP8Codec(96);
const track = connection.addTrack(video);
const control = connection.createDataChannel("control");

const replied = new Promise((resolve) => {
  control.onOpen(() => control.sendMessage(JSON.stringify({ id: 1, command: "wave" })));
  control.onMessage((text) => resolve(JSON.parse(text)));
});
let packets = 0;
const watched = new Promise((resolve) => {
  track.onMessage((packet) => {
    const media = (packet[1] & 0x7f) === 96;
    if (media && packets === 0) setTimeout(resolve, 2000);
    packets += media;
  });
});

await gathered;  // it makes its offer by itself, as soon as there is a channel
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/sdp" },
  body: connection.localDescription().sdp,
});
if (response.status !== 201) throw new Error(await response.text());
connection.setRemoteDescription(await response.text(), "answer");
const [reply] = await Promise.all([replied, watched]);
console.log(JSON.stringify({ packets, reply }));
connection.close();
rtc.cleanup();
