"""A camera of this machine, opened again whenever it fails."""

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Frame

READ_TRIES, TRY_S = 5, 0.05
"""A read that fails is tried again so often, so soon; then the camera is opened anew."""
REOPEN_S = 1.0
"""Between tries to open a camera that is gone."""
DEVICES = Path("/sys/class/video4linux")
LOG = logging.getLogger(__name__)


class CameraSource:
    """Frames of a camera. When it is unplugged or fails, `read` waits until it is back.

    Args:
        camera: its index, the path of its device, or a part of its name.
        size_px: width and height to ask for.
        fps: rate to ask for.

    Raises:
        UserError: there is none, or it cannot be opened.
    """

    def __init__(self, camera: str, *, size_px: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self._device = find_device(camera)
        self.name = f"camera {camera}"
        self._size_px, self._fps = size_px, fps
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
                return Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self._number - 1)
            self._reopen()
        return None

    def close(self) -> None:
        """Release the camera, unless a read is stuck in it: then the process's end does."""
        self._closed.set()
        if self._reading.acquire(timeout=0.2):
            if self._camera is not None:
                self._camera.release()
            self._reading.release()

    def _read(self) -> Any:
        for _ in range(READ_TRIES):
            try:
                done, bgr = self._camera.read()
            except cv2.error:
                return None
            if done and bgr is not None:
                return bgr
            if self._closed.wait(TRY_S):
                break
        return None

    def _reopen(self) -> None:
        """Try to open the camera anew, after a pause."""
        if self._camera is not None:
            LOG.warning("%s gives no pictures. Waiting for it.", self.name.capitalize())
            self._camera.release()
            self._camera = None
        if not self._closed.wait(REOPEN_S):
            self._camera = self._open()
            if self._camera is not None:
                LOG.warning("%s is back.", self.name.capitalize())

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
        if self._size_px is not None:
            # Uncompressed pictures of more than 640x480 are too much for USB 2 at 30 fps.
            camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, self._size_px[0])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size_px[1])
        if self._fps is not None:
            camera.set(cv2.CAP_PROP_FPS, self._fps)
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
    names = ", ".join(f"{name!r}" for name in dict.fromkeys(known.values())) or "none that tells its name"
    raise UserError(
        f"There is no camera {camera!r}: give its number, 0 being the first, its path, or a part of its name ({names})."
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
