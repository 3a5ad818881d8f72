"""Films with a beep, and when it is heard."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from realtime.frame import Rgb
from tests.support.streams import numbered_picture

RATE_HZ = 48_000
BEEP_S, LENGTH_S = 0.5, 1.2
"""Silent until the beep, which goes on to the end."""


def film_with_sound(
    path: Path,
    codec: str,
    *,
    begin_s: float = 0.0,
    channels: int = 2,
    pictures: Sequence[Rgb] = (),
    times_s: Sequence[float] = (),
) -> Path:
    """A video with a beep.

    Args:
        path: the file, named by its container.
        codec: an encoder of sound.
        begin_s: what its clock says at the beginning.
        channels: 1 or 2.
        pictures: by default a second of numbered ones.
        times_s: when each is shown; by default 30 a second.
    """
    shown = pictures or [numbered_picture(number) for number in range(30)]
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=30)
        assert isinstance(track, av.VideoStream)
        track.height, track.width = shown[0].shape[:2]
        track.pix_fmt = "yuv420p"
        if times_s:
            track.codec_context.time_base = Fraction(1, 90_000)
        layout = "mono" if channels == 1 else "stereo"
        sound = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        assert isinstance(sound, av.AudioStream)
        for number, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            at_s = begin_s + (times_s[number] if times_s else number / 30)
            frame.pts, frame.time_base = round(at_s * 90_000), Fraction(1, 90_000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        times = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ
        wave = (np.sin(2 * np.pi * 440 * times) * (times >= BEEP_S) * 12_000).astype(np.int16)
        for first in range(0, len(wave), 960):
            block = wave[first : first + 960].repeat(channels)[None]
            heard = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            heard.sample_rate, heard.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            heard.pts = round(begin_s * RATE_HZ) + first
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return path


def beep_at_s(path: Path) -> float:
    """When the beep begins, counted from the first picture."""
    with av.open(str(path)) as container:
        pictures = container.streams.video[0]
        begin_s = float((pictures.start_time or 0) * (pictures.time_base or 0))
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0) > 0.05 * _peak(frame))
            if len(loud):
                assert frame.time is not None
                step = 1 if frame.format.is_planar else frame.layout.nb_channels
                return frame.time - begin_s + float(loud[0]) / step / frame.sample_rate
    raise AssertionError("no beep")


def _peak(frame: av.AudioFrame) -> float:
    return 1.0 if frame.format.name.startswith("flt") else 32_768.0
