"""Where frames come from: a camera, a video file played in its own time, or recorded poses."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Frame, Rgb
from realtime.live.openpose_source import PoseSource
from realtime.video import read_video

PERFORMERS = Path(__file__).parents[1] / "performers"
POSES = "poses:"


class Source(Protocol):
    """A stream of frames in real time."""

    @property
    def name(self) -> str:
        """What people call it."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source has ended."""

    def close(self) -> None:
        """Let go of the device or file."""


class CameraSource:
    """A camera of this machine.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        log_level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of what we say better ourselves
        self._camera = cv2.VideoCapture(index)
        cv2.utils.logging.setLogLevel(log_level)
        if not self._camera.isOpened():
            raise UserError(
                f"Camera {index} cannot be opened: connect one, close other programs that use it, "
                "choose another with --camera N, or play a video with --source."
            )
        # One buffered picture: the driver's queue is delay that nobody needs.
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._number = 0

    def read(self) -> Frame | None:
        """Wait for the next frame; None when the camera was unplugged."""
        ok, bgr = self._camera.read()
        if not ok:
            return None
        captured_at_s = time.perf_counter()
        self._number += 1
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return Frame(rgb=rgb, captured_at_s=captured_at_s, number=self._number - 1)

    def close(self) -> None:
        """Release the camera."""
        self._camera.release()


class FileSource:
    """A video file, played as fast as it was filmed, over and over if `loop`.

    Raises:
        UserError: it cannot be read; the first picture is decoded at once to find out.
    """

    def __init__(self, path: Path, *, loop: bool) -> None:
        self.name = path.stem
        self._path, self._loop = path, loop
        self._pictures = self._play()
        self._next = next(self._pictures, None)
        if self._next is None:
            raise UserError(f"The video {path} has no picture in it: give another one.")
        self._began_at_s: float | None = None
        self._number = 0

    def read(self) -> Frame | None:
        """Wait until the next picture is due."""
        if self._next is None:
            return None
        rgb, due_s = self._next
        self._began_at_s = self._began_at_s or time.perf_counter() - due_s
        time.sleep(max(0.0, self._began_at_s + due_s - time.perf_counter()))
        frame = Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self._number)
        self._next = next(self._pictures, None)
        self._number += 1
        return frame

    def close(self) -> None:
        """Close the file."""
        self._next = None
        self._pictures.close()

    def _play(self) -> Generator[tuple[Rgb, float], None, None]:
        """The pictures and when they are due, in seconds; a repeat goes on one frame after the end."""
        offset_s = 0.0
        while True:
            at_s = step_s = 0.0
            for rgb, time_s in read_video(self._path):
                at_s, step_s = time_s, max(time_s - at_s, 1e-3)
                yield rgb, offset_s + at_s
            if not self._loop:
                return
            offset_s += at_s + step_s


def performers() -> dict[str, Path]:
    """The performers that come with the package, by name."""
    return {path.stem: path for path in sorted(PERFORMERS.glob("*.mp4"))}


def video_path(source: str) -> Path:
    """The video that the command line means by a path or a bundled performer's name.

    Raises:
        UserError: there is no such video.
    """
    known = performers()
    if source not in known and not Path(source).exists():
        raise UserError(f"There is no video {source!r}: give a path, or one of {', '.join(known)}.")
    return known.get(source, Path(source))


def open_source(camera: int | None, source: str | None, *, fps: float = 30.0) -> tuple[Source, str | None]:
    """Open what the command line asks for.

    Args:
        camera: index of a camera, or None.
        source: a bundled performer's name, a video's path, poses:FOLDER, or None.
        fps: how fast recorded poses are played.

    Returns:
        The source, and a sentence for people when it is not what they may expect.

    Raises:
        UserError: both are given, or it cannot be opened.
    """
    if camera is not None and source is not None:
        raise UserError("Give either --camera or --source, not both.")
    if source is not None and source.startswith(POSES):
        return PoseSource(Path(source.removeprefix(POSES)), fps=fps), None
    if source is not None:
        return FileSource(video_path(source), loop=True), None
    if camera is not None:
        return CameraSource(camera), None
    try:
        return CameraSource(0), None
    except UserError:
        name, path = next(iter(performers().items()))
        return FileSource(path, loop=True), f"No camera here: playing the performer {name} instead."
