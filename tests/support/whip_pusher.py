"""A program that publishes numbered pictures by ffmpeg's WHIP muxer until it is killed: URL, certificate, key.

In a process of its own, because PyAV holds the interpreter's lock while ffmpeg connects.
"""

import sys
import time

import av
from av.video.stream import VideoStream

from tests.support.streams import numbered_picture

GLOBAL_HEADER = 1 << 22


def main(url: str, certificate: str, key: str) -> None:
    options = {"cert_file": certificate, "key_file": key}
    with av.open(url, "w", format="whip", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "30"}
        )
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        stream.codec_context.flags |= GLOBAL_HEADER
        number, begun_at_s = 0, time.monotonic()
        while True:
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
            number += 1
            time.sleep(max(0.0, begun_at_s + number / 30 - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
