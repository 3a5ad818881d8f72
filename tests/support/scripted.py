"""The parts of a session, scripted: what people do, see and break can be decided by a test."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np

from engines.choose import Choice
from realtime.figure import Figure
from realtime.frame import Frame, Rgb
from realtime.pose.estimation.economy import Economy
from realtime.pose.pose import Pose
from realtime.references.reproject import Rendering
from realtime.subject import Subject, load_subject


@cache
def alice() -> Subject:
    """The bundled subject, loaded once."""
    return load_subject("alice")


class ScriptedRenderer:
    """Paints every picture in one grey, that of its subject."""

    choice = Choice("torch", "f32")
    replaced = 0
    face_every = 1

    def __init__(self, grey: int = 0, *, subject: Subject | None = None) -> None:
        self.subject = subject or alice()
        self._grey = grey

    def step(self, figure: Figure) -> Rgb:
        return np.full_like(figure.rgb, self._grey)

    def cut(self) -> Rendering | None:
        """Nothing to move."""
        return None


class ScriptedEstimator:
    """Sees the same pose in every picture."""

    track_id = 0

    def __init__(self, pose: Pose | None = None) -> None:
        self._pose, self.economy = pose, Economy()

    def estimate(self, rgb: Rgb) -> Pose | None:
        return self._pose

    def reset(self) -> None:
        """Nothing to forget."""

    def next_person(self) -> None:
        self.track_id += 1

    def economize(self, economy: Economy) -> None:
        self.economy = economy


class ScriptedSource:
    """Plays pictures at a rate; what is called between them may raise or wait."""

    name = "script"

    def __init__(self, pictures: Iterable[Rgb | Callable[[], None]], *, fps: float = 60) -> None:
        self._pictures: Iterator[Rgb | Callable[[], None]] = iter(pictures)
        self.fps, self.number = fps, 0
        """Pictures per second, and pictures so far."""
        self.closed = threading.Event()

    def read(self) -> Frame | None:
        for item in self._pictures:
            if isinstance(item, np.ndarray):
                time.sleep(1 / self.fps)
                self.number += 1
                return Frame(rgb=item, captured_at_s=time.perf_counter(), number=self.number - 1)
            item()
        return None

    def close(self) -> None:
        self.closed.set()


class KeptOutput:
    """Keeps every frame."""

    dropped = 0
    watched = True

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed = False

    def write(self, frame: Frame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        self.closed = True
