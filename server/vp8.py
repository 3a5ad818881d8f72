"""Encode RGB pictures to VP8 packets; the encoder follows their size."""

from fractions import Fraction
from typing import Any, TypeAlias

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

RTP_CLOCK_HZ = 90_000
"""The clock of RTP video time stamps (RFC 7741, section 4.1)."""

TIME_BASE = Fraction(1, RTP_CLOCK_HZ)

Packet: TypeAlias = "av.Packet[Any]"  # a string, because not every PyAV allows the brackets when it runs


class Vp8Encoder:
    """Encodes pictures for live viewing: no look-ahead, no buffered frames, constant bit rate.

    VP8 carries its colours at half the resolution, so the last row or column of an odd size is not sent.
    A picture of another size than the one before starts a new encoder, hence a key frame. Pictures that are wider than
    `width_px` are shrunk to it.
    """

    def __init__(self, *, fps: int, bitrate_bps: int, width_px: int | None = None) -> None:
        self._fps = fps
        self._bitrate_bps = bitrate_bps
        self._width_px = width_px
        self._codec: VideoCodecContext | None = None
        self._last_pts = -1

    def encode(self, rgb: NDArray[np.uint8], at_s: float, *, key: bool) -> list[Packet]:
        """Encode one picture (H W 3, RGB) taken at `at_s`; `key` forces a key frame.

        The packets' pts is `at_s` on the 90 kHz clock, but at least one tick after the previous one.
        """
        assert rgb.ndim == 3, rgb.shape
        assert rgb.shape[2] == 3, rgb.shape
        if self._width_px is not None and rgb.shape[1] > self._width_px:
            shrunk_px = self._width_px, max(2, round(rgb.shape[0] * self._width_px / rgb.shape[1]))
            rgb = np.asarray(cv2.resize(rgb, shrunk_px, interpolation=cv2.INTER_AREA), np.uint8)
        height_px, width_px = rgb.shape[0] & ~1, rgb.shape[1] & ~1
        assert height_px, rgb.shape
        assert width_px, rgb.shape
        i420: NDArray[Any] = cv2.cvtColor(rgb[:height_px, :width_px], cv2.COLOR_RGB2YUV_I420)
        # A new VideoFrame each time: one that was encoded as a key frame keeps its pict_type and would stay one.
        frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
        self._last_pts = frame.pts = max(round(at_s * RTP_CLOCK_HZ), self._last_pts + 1)
        frame.time_base = TIME_BASE
        if key:
            frame.pict_type = PictureType.I
        if self._codec is None or (self._codec.width, self._codec.height) != (width_px, height_px):
            self._codec = _open(width_px, height_px, self._fps, self._bitrate_bps)
        return self._codec.encode(frame)


def _open(width_px: int, height_px: int, fps: int, bitrate_bps: int) -> VideoCodecContext:
    codec = av.CodecContext.create("libvpx", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height = width_px, height_px
    codec.pix_fmt = "yuv420p"
    codec.framerate = Fraction(fps)
    codec.time_base = TIME_BASE
    codec.bit_rate = bitrate_bps
    codec.gop_size = 3000  # key frames come on request only
    codec.qmin, codec.qmax = 2, 56
    codec.thread_count = 1
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "-6",
        "lag-in-frames": "0",
        "error-resilient": "1",
        "minrate": str(bitrate_bps),  # minrate = maxrate selects constant bit rate
        "maxrate": str(bitrate_bps),
        "bufsize": str(bitrate_bps),
        "undershoot-pct": "100",
        "overshoot-pct": "15",
        "static-thresh": "1",
    }
    return codec
