"""A film of claps, a flash and a click each, a session that plays it, and what comes of it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.live.live_sound import LiveSound
from realtime.live.output import StreamOutput
from realtime.live.pipeline import STAGES
from realtime.live.session import Session
from realtime.live.source import Source
from realtime.meter import Meter
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from server.sound import SharedSound
from tests.support.scripted import ScriptedEstimator, ScriptedRenderer

FPS, SIDE_PX, RATE_HZ = 20, 64, 48_000
CLAPS_S, LENGTH_S = (0.5, 1.5), 2.0
CLICK_S, FLASH_PICTURES = 0.03, 3
LOUD = 0.1
"""Of the greatest value of a sample: nothing but a click is louder."""


def clap_film(path: Path, *, begin_s: float = 0.0, rounds: int = 1) -> Path:
    """Rounds of two seconds, black and silent but for two claps: white pictures, and a click beginning with the first.

    Args:
        path: the file, named by its container.
        begin_s: what its clock says at the beginning.
        rounds: how many follow each other.
    """
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=FPS, options={"crf": "10"})
        assert isinstance(track, av.VideoStream)
        track.width = track.height = SIDE_PX
        track.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        assert isinstance(sound, av.AudioStream)
        claps_s = [number * LENGTH_S + at_s for number in range(rounds) for at_s in CLAPS_S]
        flashes = {round(at_s * FPS) + number for at_s in claps_s for number in range(FLASH_PICTURES)}
        for number in range(round(rounds * LENGTH_S * FPS)):
            rgb = np.full((SIDE_PX, SIDE_PX, 3), 255 if number in flashes else 0, np.uint8)
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = round(begin_s * FPS) + number, Fraction(1, FPS)
            container.mux(track.encode(picture))
        container.mux(track.encode(None))
        times_s = np.arange(round(rounds * LENGTH_S * RATE_HZ)) / RATE_HZ
        wave = np.zeros(len(times_s), np.int16)
        for at_s in claps_s:
            inside = (times_s >= at_s) & (times_s < at_s + CLICK_S)
            wave[inside] = (20_000 * np.cos(2 * np.pi * 1000 * (times_s[inside] - at_s))).astype(np.int16)
        for first in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = round(begin_s * RATE_HZ) + first
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


class Onsets:
    """When something begins, from values that come with their times; `quiet_s` has to pass between two of them."""

    def __init__(self, threshold: float, quiet_s: float = 0.3) -> None:
        self._threshold, self._quiet_s = threshold, quiet_s
        self._last_s = -1e9
        self.times_s: list[float] = []

    def add(self, value: float, at_s: float) -> None:
        if value >= self._threshold:
            if at_s - self._last_s > self._quiet_s:
                self.times_s.append(at_s)
            self._last_s = at_s


def loudness(frame: av.AudioFrame) -> NDArray[np.float64]:
    """The greatest of the channels' values, 0..1, for every sample."""
    values = frame.to_ndarray()
    scale = 1.0 if frame.format.name.startswith("flt") else 32_768.0
    planes = values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
    return np.asarray(np.abs(planes).max(axis=0) / scale, np.float64)


def offsets_s(flashes_s: list[float], clicks_s: list[float]) -> list[float]:
    """How much later than its flash each click came; clicks without a flash nearby are left out."""
    pairs = ((click, min(flashes_s, key=lambda flash: abs(flash - click))) for click in clicks_s)
    return [click - flash for click, flash in pairs if abs(click - flash) < 0.45]


SLOW_S = 0.03
"""What the renderer takes for a picture, so that sound has to wait for it."""


class Mirror:
    """An estimator and a renderer that make pictures as bright as the source's."""

    def __init__(self) -> None:
        self._seen = 0
        mirror = self

        class Estimator(ScriptedEstimator):
            def estimate(self, rgb: Rgb) -> Pose | None:
                mirror._seen = int(rgb.mean())
                return None

        class Renderer(ScriptedRenderer):
            def step(self, figure: Figure) -> Rgb:
                seen = mirror._seen
                time.sleep(SLOW_S)
                return np.full((64, 64, 3), seen, np.uint8)

        self.track, self.renderer = PoseTrack(Estimator()), Renderer()


@contextmanager
def clapping(source: Source) -> Iterator[tuple[Session, SharedSound]]:
    """A session that plays a source of claps; outputs are a stream, and what is added."""
    mirror, sound = Mirror(), LiveSound()
    output = StreamOutput("claps", on_encoded=lambda frame, _: sound.follow(frame))
    session = Session(source, mirror.track, mirror.renderer, [output], meter=Meter(*STAGES))
    with ExitStack() as ends:
        ends.callback(session.stop)
        sound.start(session)
        ends.callback(sound.close)
        session.start()
        yield session, sound.shared
