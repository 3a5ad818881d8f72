"""Streams whose pictures say their number, from a scripted camera, and threads that end with their test."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Frame
from realtime.live.latest import Latest
from server.stream import RUNGS, SharedStream
from tests.support.waiting import HANG_S

BITS = 16
BLOCK_PX = 16


def numbered_picture(number: int, *, width_px: int = 256, height_px: int = 256, red: int = 40) -> NDArray[np.uint8]:
    """A picture that moves, with its number in 16 bits of black and white along the top."""
    rgb = np.empty((height_px, width_px, 3), np.uint8)
    rgb[...] = (red, 90, 160)
    cv2.circle(rgb, (width_px // 2 + number * 7 % 60, height_px * 2 // 3), height_px // 6, (230, 200, 40), -1)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 16
        rgb[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = value
    return rgb


def read_number(rgb: NDArray[np.uint8]) -> int:
    """The number that `numbered_picture` put into the picture."""
    centre = BLOCK_PX // 2
    return sum(int(rgb[centre, bit * BLOCK_PX + centre, 1] > 128) << bit for bit in range(BITS))


class ScriptedCamera:
    """Puts numbered pictures into its slot at 30 fps, from its own thread; `paused` makes it stand still."""

    def __init__(self, *, red: int = 40, width_px: int = 256, height_px: int = 256) -> None:
        self.slot: Latest[Frame] = Latest()
        self.paused = threading.Event()
        self.taken = 0
        """Pictures so far."""
        self._red, self._width_px, self._height_px = red, width_px, height_px

    def put(self, frame: Frame) -> None:
        """Hand over what was taken."""
        self.slot.put(frame)

    def run(self, stop: threading.Event) -> None:
        due_s = time.perf_counter()
        while not stop.is_set():
            if not self.paused.is_set():
                rgb = numbered_picture(self.taken, width_px=self._width_px, height_px=self._height_px, red=self._red)
                self.put(Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self.taken))
                self.taken += 1
            due_s = max(due_s + 1 / 30, time.perf_counter())  # as of a camera, what is missed does not come later
            stop.wait(due_s - time.perf_counter())


Runnable = Callable[[threading.Event], None]


@contextmanager
def in_thread(run: Runnable) -> Iterator[None]:
    """Execute `run(stop)` in a thread for the length of the block; its error becomes the test's."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def body() -> None:
        try:
            run(stop)
        except BaseException as error:  # noqa: BLE001 it is raised again below
            errors.append(error)

    thread = threading.Thread(target=body, name=getattr(run, "__qualname__", "run"))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(HANG_S)
    assert not thread.is_alive(), f"{thread.name} did not stop"
    if errors:
        raise errors[0]


@contextmanager
def moving_streams(
    count: int, size_px: tuple[int, int] = (256, 256), rungs: int = 1
) -> Iterator[list[SharedStream[Frame]]]:
    """One or two streams of scripted cameras, running: "alice" on a blue ground, "bob" on a red one.

    With one rung viewers are sent every picture in its full size, in which its number can be read, however busy all is.
    """
    width_px, height_px = size_px
    cameras = [ScriptedCamera(red=red, width_px=width_px, height_px=height_px) for red in (40, 200)[:count]]
    named = zip(("alice", "bob"), cameras, strict=False)
    streams = [SharedStream(name, camera.slot, rungs=RUNGS[:rungs]) for name, camera in named]
    with ExitStack() as threads:
        for run in [camera.run for camera in cameras] + [stream.run for stream in streams]:
            threads.enter_context(in_thread(run))
        yield streams
