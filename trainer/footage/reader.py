"""Prepared footage, read in any order: pictures decoded as they are needed, poses in memory."""

from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.parts.atlas import ATLAS, Atlas, load_atlas
from realtime.pose.archive import load_poses
from realtime.pose.figure.styles import Style, load_style
from realtime.pose.pose import Pose
from trainer.footage.plate import GREY
from trainer.footage.prepare import Prepared, load_prepared, training_frames


class Footage:
    """A folder made by `trainer prepare`.

    Args:
        data: the folder.
        background: the empty room is known; without it, the plate is grey, as at the start of the paper's chains.
    """

    def __init__(self, data: Path, *, background: bool = True) -> None:
        self.about: Prepared = load_prepared(data)
        self.style: Style = load_style(self.about.figure_style, self.about.figure_version)
        self.poses: list[Pose | None] = load_poses(data / "poses.npz")
        self.plate: Rgb = np.asarray(cv2.imread(str(data / "plate.png"), cv2.IMREAD_COLOR_RGB), np.uint8)
        if not background:
            self.plate = np.full_like(self.plate, GREY)
        self._frames, self._atlas = data / "frames.mp4", data / ATLAS

    @property
    def training_frames(self) -> int:
        """Frames 0..this are for training, the rest is held out."""
        return training_frames(len(self.poses), self.about.fps)

    def held_out(self, frames: int) -> range:
        """The first so many of the held-out frames."""
        return range(self.training_frames, min(self.training_frames + frames, len(self.poses)))

    def figure(self, index: int) -> Rgb:
        """The figure of a frame, uint8 [H, W, 3]."""
        return self.draw(self.poses[index])

    def draw(self, pose: Pose | None) -> Rgb:
        """A figure as large as the pictures, uint8 [H, W, 3]."""
        return self.style.draw(pose, self.about.height_px, self.about.width_px)

    @cached_property
    def atlas(self) -> Atlas:
        """The references for generators that have some, chosen from the training frames.

        Raises:
            UserError: the footage was prepared without.
        """
        if not self._atlas.exists():
            raise UserError(f"{self._atlas.parent} has no {ATLAS}: run `trainer prepare` again.")
        return load_atlas(self._atlas)

    def reader(self) -> "PictureReader":
        """A reader of its own for every chain: a chain reads onwards, so it hardly ever seeks."""
        return PictureReader(self._frames)


class PictureReader:
    """Decodes pictures by their number; the next one is cheap, any other costs a seek to the key frame before it."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path))
        self._stream = self._container.streams.video[0]
        self._frames = self._container.decode(self._stream)
        self._next = 0

    def read(self, index: int) -> Rgb:
        """Picture `index`, uint8 [H, W, 3], RGB."""
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
        raise IndexError(f"{self._container.name} has no frame {index}")

    def close(self) -> None:
        """Close the file."""
        self._container.close()
