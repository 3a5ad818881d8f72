"""Prepared footage: what `trainer prepare` has written, and how training reads it."""

import shlex
from pathlib import Path

import av
import msgspec
import numpy as np

from engines.engine import Engine
from engines.errors import UserError
from engines.files import NO_JSON, NO_NPZ
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.pictures import read_picture
from realtime.pose.archive import load_poses
from realtime.pose.figure.styles import Style, load_style
from realtime.pose.normalization.motion_range import MotionRange
from realtime.pose.normalization.proportions import Proportions
from realtime.pose.pose import Pose
from realtime.pose.skeleton import UNREFINED
from realtime.references.atlas import ATLAS, Atlas, load_atlas
from realtime.render import Renderer

HELD_OUT_S, HELD_OUT_SHARE = 40.0, 0.15
"""The last seconds of the footage, at most this share of it, are held out: never trained on, only measured on."""
PLATE_GREY = 128
"""Value of every pixel of the plate where the background is not known: EDN's chains begin with it."""
REFERENCE_GAP_S = 1.5
"""References are at least so far from the frame that they help to render: nearer ones are nearly that frame."""
MEND = "bring it back from a copy, or prepare the video in a new folder"
"""What to do about a damaged file."""


class Prepared(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What `prepare.json` says."""

    video: str
    """File name of the footage."""
    width_px: int
    height_px: int
    """Of the pictures."""
    fps: float
    frames: int
    seen: int
    """Frames with the person in them."""
    motion: MotionRange
    proportions: Proportions | None = None
    figure_style: str = "limbs"
    """How the poses are drawn, a name for `load_style`."""
    figure_version: int = 1
    skeleton_version: int = UNREFINED
    """Where on the body the poses' keypoints are."""
    source_px: tuple[int, int] | None = None
    """Width and height of the footage; None where they were not recorded."""
    source_fps: float | None = None
    """Frame rate of the footage; None where it was not recorded."""
    crop: tuple[int, int, int, int] | None = None
    """The part of the footage that is used: x, y, width, height in its pixels; None where it was not recorded."""
    static: bool = True
    """The camera stands still, and the plate shows the background."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.width_px, self.height_px


def load_prepared(data: Path) -> Prepared:
    """Read `prepare.json`.

    Raises:
        UserError: the folder was not made by `trainer prepare`, or the file is damaged.
    """
    file = data / "prepare.json"
    if not file.exists():
        run = shlex.quote(str(data.parent))
        raise UserError(f"{data} holds no prepared footage: run `trainer prepare VIDEO --out {run}` first.")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Prepared)
    except (OSError, *NO_JSON) as error:
        raise _damaged(file) from error


def training_frames(frames: int, fps: float) -> int:
    """How many of so many frames are for training; the rest is held out."""
    return frames - round(min(HELD_OUT_S * fps, HELD_OUT_SHARE * frames))


class Footage:
    """A folder made by `trainer prepare`: its poses and plate in memory, its pictures decoded as they are needed.

    Args:
        data: the folder.
        background: whether the background counts as known; without it the plate is grey.
        references: whether to load the atlas.

    Raises:
        UserError: the folder was not made by `trainer prepare`, a file of it is damaged, or its figures are of another
            version.
    """

    def __init__(self, data: Path, *, background: bool = True, references: bool = False) -> None:
        self.about: Prepared = load_prepared(data)
        self.style: Style = load_style(self.about.figure_style, self.about.figure_version)
        self.poses: list[Pose | None] = _read_poses(data / "poses.npz")
        self.plate: Rgb = _read_plate(data / "plate.png", self.about)
        if not background:
            self.plate = np.full_like(self.plate, PLATE_GREY)
        self.atlas: Atlas | None = load_atlas(data / ATLAS, MEND) if references else None
        """The references for generators that have some, chosen from the training frames."""
        self._frames = data / "frames.mp4"

    @property
    def first_held_out(self) -> int:
        """Frames before this number are for training, the others are held out."""
        return training_frames(len(self.poses), self.about.fps)

    @property
    def apart(self) -> int:
        """References are at least so many frames from the frame that they help to render; see `REFERENCE_GAP_S`."""
        return round(REFERENCE_GAP_S * self.about.fps)

    def held_out(self, frames: int) -> range:
        """Numbers of the first so many held-out frames."""
        return range(self.first_held_out, min(self.first_held_out + frames, len(self.poses)))

    def figure(self, index: int) -> Figure:
        """The figure of a frame."""
        return Figure(self.draw(self.poses[index]), self.poses[index], index)

    def draw(self, pose: Pose | None) -> Rgb:
        """A figure as large as the pictures, uint8 [H, W, 3]."""
        return self.style.draw(pose, self.about.height_px, self.about.width_px)

    def renderer(self, generator: Engine, face: Engine | None) -> Renderer:
        """A renderer of the subject in the making. References near to a figure's frame are not shown."""
        return Renderer(generator, face, self.plate, blank=self.style.blank, atlas=self.atlas, apart=self.apart)

    def reader(self) -> "PictureReader":
        """A new reader of the pictures; with one for each chain, which reads onwards, hardly any has to seek."""
        return PictureReader(self._frames)


def _read_poses(file: Path) -> list[Pose | None]:
    try:
        return load_poses(file)
    except NO_NPZ as error:
        raise _damaged(file) from error


def _read_plate(file: Path, about: Prepared) -> Rgb:
    plate = read_picture(file)
    if plate is None or plate.shape != (about.height_px, about.width_px, 3):
        raise _damaged(file)
    return plate


def _damaged(file: Path) -> UserError:
    return UserError(f"{file} is damaged or missing: {MEND}.")


class PictureReader:
    """Decodes pictures by their number; the next one is cheap, any other costs a seek to the key frame before it.

    Raises:
        UserError: the file is no video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._container = av.open(f"file:{path}")  # whatever the folders are called
            self._stream = self._container.streams.video[0]
        except (OSError, IndexError, av.error.FFmpegError) as error:
            raise _damaged(path) from error
        self._frames = self._container.decode(self._stream)
        self._next = 0

    def read(self, index: int) -> Rgb:
        """Picture `index`, uint8 [H, W, 3].

        Raises:
            UserError: it is missing in the file, or cannot be decoded.
        """
        try:
            return self._read(index)
        except (OSError, av.error.FFmpegError) as error:
            raise _damaged(self._path) from error

    def _read(self, index: int) -> Rgb:
        rate, time_base = self._stream.average_rate, self._stream.time_base
        assert rate is not None
        assert time_base is not None
        if index != self._next:
            self._container.seek(round(index / rate / time_base), stream=self._stream)
            self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            assert frame.pts is not None
            number = round(frame.pts * time_base * rate)
            if number >= index:
                self._next = number + 1
                return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        raise _damaged(self._path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
