"""A camera of this machine, opened again whenever it fails."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Frame
from realtime.live.run_config import CaptureConfig

READ_TRIES, TRY_S = 5, 0.05
"""A read that fails is tried again so often, so soon; then the camera is opened anew."""
GIVE_UP_S = 2.0
"""So it is after a read that failed by taking longer: OpenCV waits ten seconds for a picture."""
REOPEN_S = 1.0
"""Between tries to open a camera that is gone."""
SETTLE_S, MEASURE_S = 1.0, 3.0
"""A camera's rate is measured for so long, once its exposure has settled."""
SLOW_FPS = 20.0
"""Below, somebody who asked for nothing hears what may help."""
PLAIN_PX = 640, 480
"""More, or more often than 30 times a second, is too much for USB 2 without compression."""
DEVICES = Path("/sys/class/video4linux")
LOG = logging.getLogger(__name__)


class CameraSource:
    """Frames of a camera. When it is unplugged or fails, `read` waits until it is back.

    Args:
        camera: its index, the path of its device, or a part of its name.
        capture: what to ask of it.
        say: told in a sentence what it really gives, once that is measured.

    Raises:
        UserError: there is none, or it cannot be opened.
    """

    def __init__(
        self, camera: str, capture: CaptureConfig = CaptureConfig(), *, say: Callable[[str], object] = LOG.info
    ) -> None:
        self._device = find_device(camera)
        self.camera, self.name = camera, f"camera {camera}"
        self._capture, self._say = capture, say
        self._taken_at_s: list[float] | None = []
        self._closed, self._reading = threading.Event(), threading.Lock()
        self._camera: Any = self._open()
        if self._camera is None:
            raise UserError(f"{self.name.capitalize()} cannot be opened: {_why(self._device)}.")
        self._number = 0

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source was closed."""
        while not self._closed.is_set():
            with self._reading:
                bgr = self._read() if self._camera is not None else None
            if bgr is not None:
                self._number += 1
                rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
                frame = Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self._number - 1)
                self._measure(frame)
                return frame
            self._reopen()
        return None

    def _measure(self, frame: Frame) -> None:
        """Say once what the camera gives: drivers promise rates that the light, the cable or the size forbid."""
        if self._taken_at_s is None:
            return
        if self._taken_at_s and frame.captured_at_s - self._taken_at_s[-1] > SETTLE_S:
            self._taken_at_s.clear()  # it was away
        self._taken_at_s.append(frame.captured_at_s)
        measured_s = frame.captured_at_s - self._taken_at_s[0] - SETTLE_S
        if measured_s >= MEASURE_S:
            taken = [at_s for at_s in self._taken_at_s if at_s >= self._taken_at_s[0] + SETTLE_S]
            self._taken_at_s = None
            height, width, _ = frame.rgb.shape
            rate = (len(taken) - 1) / (taken[-1] - taken[0])
            self._say(
                f"{self.name.capitalize()} gives {width}x{height} at {rate:.1f} fps{self._not_as_asked(frame, rate)}."
            )

    def _not_as_asked(self, frame: Frame, rate: float) -> str:
        """The end of the sentence: what was asked for in vain, or what is wanting."""
        asked = list[str]()
        if self._capture.size_px not in (None, (frame.rgb.shape[1], frame.rgb.shape[0])):
            asked.append(f"{self._capture.camera_size}")
        if self._capture.camera_fps is not None and rate < 0.9 * self._capture.camera_fps:
            asked.append(f"{self._capture.camera_fps:g} fps")
        if asked:
            return f", not {' and '.join(asked)} as asked: more light, or another size, may help"
        return ": more light, or a smaller --camera-size, may help" if rate < SLOW_FPS else ""

    def close(self) -> None:
        """Release the camera, unless a read is stuck in it: then the process's end does."""
        self._closed.set()
        if self._reading.acquire(timeout=0.2):
            self._release()
            self._reading.release()

    def _read(self) -> Any:
        ends_at_s = time.perf_counter() + GIVE_UP_S
        for _ in range(READ_TRIES):
            try:
                done, bgr = self._camera.read()
            except cv2.error:
                return None
            if done and bgr is not None:
                return bgr
            if self._closed.wait(TRY_S) or time.perf_counter() > ends_at_s:
                break
        return None

    def _reopen(self) -> None:
        """Try to open the camera anew, after a pause."""
        with self._reading:
            if self._camera is not None:
                LOG.warning("%s gives no pictures. Waiting for it.", self.name.capitalize())
            self._release()
        if self._closed.wait(REOPEN_S):
            return
        camera = self._open()
        with self._reading:
            self._camera = camera
            if self._closed.is_set():  # meanwhile: nobody else would release it
                self._release()
            elif camera is not None:
                LOG.warning("%s is back.", self.name.capitalize())

    def _release(self) -> None:
        """Let go of the camera, if there is one; by whoever holds `_reading`."""
        if self._camera is not None:
            self._camera.release()
        self._camera = None

    def _open(self) -> Any:
        """The opened camera; None if it cannot be opened."""
        log_level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of what we say better ourselves
        try:
            camera = cv2.VideoCapture(self._device)
        except cv2.error:
            return None
        finally:
            cv2.utils.logging.setLogLevel(log_level)
        if not camera.isOpened():
            return None
        size_px, fps = self._capture.size_px, self._capture.camera_fps
        if size_px is not None or fps is not None:
            width, height = size_px or PLAIN_PX
            many = width * height * (fps or 30) > PLAIN_PX[0] * PLAIN_PX[1] * 30
            camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*("MJPG" if many else "YUYV")))
        if size_px is not None:
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, size_px[0])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, size_px[1])
        if fps is not None:
            camera.set(cv2.CAP_PROP_FPS, fps)
        # One buffered picture: the driver's queue is delay that nobody needs.
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return camera


def find_device(camera: str) -> int | str:
    """What OpenCV calls a camera: its index, or on Linux its path, also found by a part of its name.

    Raises:
        UserError: there is no such camera.
    """
    if camera.isdecimal():
        return int(camera)
    if Path(camera).is_absolute():
        if Path(camera).exists():
            return camera
        raise UserError(f"There is no camera {camera}: connect one, or choose another with --camera.")
    known = {path.name: (path / "name").read_text().strip() for path in sorted(DEVICES.glob("video*"))}
    for device, name in known.items():
        if camera.lower() in name.lower() and not camera.startswith("-"):
            return f"/dev/{device}"
    names = ", ".join(f"{name!r}" for name in dict.fromkeys(known.values()))
    there = f"there are {names}" if names else "none of this machine tells its name"
    raise UserError(
        f"There is no camera {camera!r}: {there}. Give its number, 0 being the first, its path, or a part of its name, "
        "or play a video with --source."
    )


def has_camera() -> bool:
    """Whether this machine may have a camera; only Linux tells without opening it."""
    return sys.platform != "linux" or any(Path("/dev").glob("video*"))


def _why(device: int | str) -> str:
    path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    others = "choose another with --camera, or play a video with --source"
    if sys.platform == "linux" and not path.exists():
        return f"there is no {path}: connect one, {others}"
    if sys.platform == "linux" and not os.access(path, os.R_OK | os.W_OK):
        return f"you may not use {path}: add yourself to the group video, {others}"
    return f"close other programs that use it, {others}"
