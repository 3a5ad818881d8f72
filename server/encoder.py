"""Encode RGB pictures for live viewing, to VP8 or H.264; the encoder follows their size."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

RTP_CLOCK_HZ = 90_000
"""The clock of RTP video time stamps (RFC 7741, section 4.1; RFC 6184, section 5.1)."""

TIME_BASE = Fraction(1, RTP_CLOCK_HZ)

Packet: TypeAlias = "av.Packet[Any]"  # a string, because not every PyAV allows the brackets when it runs
CodecName = Literal["VP8", "H264"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One of the sizes and rates in which a stream is sent."""

    bitrate_bps: int
    scale: float = 1.0
    """Of the picture's sides."""
    width_px: int | None = None
    """What wider pictures are shrunk to."""


class LiveEncoder:
    """Encodes pictures for live viewing: no look-ahead, no buffered frames, constant bit rate.

    Both codecs carry their colours at half the resolution, so the last row or column of an odd size is not sent.
    A picture of another size than the one before starts a new encoder, hence a key frame.
    """

    def __init__(self, codec: CodecName, rung: Rung, *, fps: int) -> None:
        self._name, self._rung, self._fps = codec, rung, fps
        self._codec: VideoCodecContext | None = None
        self._last_pts = -1

    def encode(self, rgb: NDArray[np.uint8], at_s: float, *, key: bool) -> list[Packet]:
        """Encode one picture (H W 3, RGB) taken at `at_s`; `key` forces a key frame.

        The packets' pts is `at_s` on the 90 kHz clock, but at least one tick after the previous one.
        """
        assert rgb.ndim == 3, rgb.shape
        assert rgb.shape[2] == 3, rgb.shape
        rgb = _shrunk(rgb, self._rung)
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
            self._codec = _open(self._name, width_px, height_px, self._fps, self._rung.bitrate_bps)
        return self._codec.encode(frame)


def _shrunk(rgb: NDArray[np.uint8], rung: Rung) -> NDArray[np.uint8]:
    height_px, width_px, _ = rgb.shape
    k = min(rung.scale, 1.0 if rung.width_px is None else rung.width_px / width_px)
    if k >= 1:
        return rgb
    size_px = max(2, round(width_px * k)), max(2, round(height_px * k))
    return np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA), np.uint8)


def _open(name: CodecName, width_px: int, height_px: int, fps: int, bitrate_bps: int) -> VideoCodecContext:
    codec = av.CodecContext.create("libvpx" if name == "VP8" else "libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height = width_px, height_px
    codec.pix_fmt = "yuv420p"
    codec.framerate = Fraction(fps)
    codec.time_base = TIME_BASE
    codec.bit_rate = bitrate_bps
    codec.gop_size = 3000  # key frames come on request only
    codec.thread_count = 1
    # Where the least and the most are the same the bit rate is constant.
    rates = {"minrate": str(bitrate_bps), "maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps)}
    if name == "VP8":
        codec.qmin, codec.qmax = 2, 56
        codec.options = rates | {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "error-resilient": "1",
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
    else:  # constrained baseline, which profile-level-id=42e01f promises; parameter sets come with every key frame
        codec.options = rates | {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "sc_threshold": "0",
        }
    return codec
