"""Clips of the subject's own moves, rendered as live: int8 is calibrated and every engine is checked on them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine
from engines.errors import UserError
from engines.files import NO_NPZ
from engines.parity import RecordingEngine, Rollout, only_output, rollout_of
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.pose.archive import load_poses, save_poses
from realtime.pose.figure.styles import Style
from realtime.pose.pose import Pose
from realtime.references.atlas import Atlas
from realtime.render import Renderer, reference_picture
from realtime.subject import Subject

FILE = "clips.npz"
"""Its name in a subject's folder: the poses, in the subject's pixels, clip after clip."""
CLIPS, CLIP_FRAMES = 4, 30


class SubjectClips:
    """A subject's clips, which can be played again and again.

    Args:
        poses: clip after clip, `CLIP_FRAMES` each.
        style: how they are drawn.
        plate: uint8 [H, W, 3], where every clip starts.
        atlas: for a generator with references.
    """

    def __init__(self, poses: Sequence[Pose | None], style: Style, plate: Rgb, atlas: Atlas | None = None) -> None:
        self.poses, self._style, self._plate, self._atlas = poses, style, plate, atlas

    @classmethod
    def of(cls, subject: Subject) -> "SubjectClips":
        """The subject's clips; one that brings none just shows its plate."""
        poses = load_clips(subject.folder) or [None] * CLIP_FRAMES
        return cls(poses, subject.style, subject.plate, subject.atlas)

    def play(self, generator: Engine, face: Engine | None = None) -> Iterator[Rgb]:
        """Every picture, uint8 [H, W, 3]."""
        renderer = Renderer(generator, face, self._plate, blank=self._style.blank, atlas=self._atlas)
        for number, pose in enumerate(self.poses):
            if number % CLIP_FRAMES == 0:
                renderer.reset()
            yield renderer.step(Figure(self._style.draw(pose, *self._plate.shape[:2]), pose))

    def record(self, generator: Engine, face: Engine | None = None) -> list[list[NDArray[np.uint8]]]:
        """What each network sees, in every second frame."""
        recorders = [RecordingEngine(engine, every=2) for engine in (generator, face) if engine]
        for _ in self.play(*recorders):
            pass
        return [recorder.recorded for recorder in recorders]

    def rollouts(self, generator: Engine, face: Engine | None = None) -> Mapping[str, Rollout]:
        """The rollout of each network by the graph's name; the face network's is of the pictures of this generator."""
        rollouts = {"generator": Rollout(self.play, reference_picture(self._plate) if self._atlas else only_output)}
        if face:
            rollouts["face"] = rollout_of(self.record(generator, face)[1])
        return rollouts


def choose_clips(poses: Sequence[Pose | None]) -> list[Pose | None]:
    """Clips with somebody in them, spread evenly over the poses of a whole training; all poses if they are few."""
    if len(poses) <= CLIPS * CLIP_FRAMES:
        return list(poses)
    clips = [poses[start : start + CLIP_FRAMES] for start in range(0, len(poses) - CLIP_FRAMES, CLIP_FRAMES)]
    lively = [clip for clip in clips if clip[0] and clip[-1]] or clips
    return [pose for index in np.linspace(0, len(lively) - 1, CLIPS).astype(int) for pose in lively[index]]


def save_clips(folder: Path, poses: Sequence[Pose | None]) -> None:
    """Write what `choose_clips` chose into a subject's folder."""
    save_poses(folder / FILE, poses)


def load_clips(folder: Path) -> list[Pose | None] | None:
    """The inverse of `save_clips`; None if the subject was exported without.

    Raises:
        UserError: the file holds no poses.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return load_poses(file)
    except NO_NPZ as error:
        raise UserError(f"{file} holds no poses: export or download the subject again.") from error
