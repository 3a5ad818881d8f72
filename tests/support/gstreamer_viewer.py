"""A viewer by GStreamer's webrtcbin, run by the system's Python, which has its bindings: endpoint, codec, pictures.

Prints the number of pictures that were decoded, with their width and height.
"""

import sys
import threading
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

CAPS = {
    "VP8": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000",
    "H264": "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f",
}
DECODE = {"VP8": "rtpvp8depay ! vp8dec", "H264": "rtph264depay ! avdec_h264"}


def main(url: str, codec: str, wanted: int) -> None:
    """Watch until so many pictures were decoded."""
    Gst.init(None)
    loop, pipeline = GLib.MainLoop(), Gst.Pipeline()
    webrtc = Gst.ElementFactory.make("webrtcbin", None)
    webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
    pipeline.add(webrtc)
    sizes: list[tuple[int, int]] = []

    def on_picture(pad, _info):  # type: ignore[no-untyped-def]
        caps = pad.get_current_caps().get_structure(0)
        sizes.append((caps.get_value("width"), caps.get_value("height")))
        if len(sizes) >= wanted:
            loop.quit()
        return Gst.PadProbeReturn.OK

    def on_pad(_, pad):  # type: ignore[no-untyped-def]
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decoder = Gst.parse_bin_from_description(f"{DECODE[codec]} ! fakesink name=sink sync=false", True)
        pipeline.add(decoder)
        decoder.sync_state_with_parent()
        decoder.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_picture)
        pad.link(decoder.get_static_pad("sink"))

    def on_offer(promise):  # type: ignore[no-untyped-def]
        promise.wait()
        reply = promise.get_reply()  # owns the offer
        webrtc.emit("set-local-description", reply["offer"], None)

    def on_gathered(*_):  # type: ignore[no-untyped-def]
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=exchange, daemon=True).start()

    def exchange() -> None:
        body = webrtc.get_property("local-description").sdp.as_text().encode()
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/sdp"})
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(text, message)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        webrtc.emit("set-remote-description", answer, None)

    webrtc.connect("pad-added", on_pad)
    webrtc.connect("notify::ice-gathering-state", on_gathered)
    webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(CAPS[codec]))
    pipeline.set_state(Gst.State.PLAYING)
    webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer))
    GLib.timeout_add_seconds(40, loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    print(len(sizes), *(sizes[-1] if sizes else ()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
