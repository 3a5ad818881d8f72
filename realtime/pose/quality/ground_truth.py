"""The exact joints of footage that was rendered: what a track is measured against.

FILE.npz   names [J]: ours (`skeleton.NAMES`, e.g. left_wrist), or a rig's bones (hand_l);
           xy [F, J, 2]: pixels, a row per frame of the video; visibility [F, J] (optional): 0 outside of the picture,
           1 hidden, 2 visible
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.pose.pose import Floats
from realtime.pose.quality.track_metrics import JOINTS

_BONES = {
    "nose": "nose",
    **{
        f"{side}_{joint}": f"{bone}_{side[0]}"
        for side in ("left", "right")
        for joint, bone in (("shoulder", "upperarm"), ("elbow", "lowerarm"), ("wrist", "hand"), ("hip", "thigh"),
                            ("knee", "calf"), ("ankle", "foot"))
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """The exact joints, F frames, J = the joints of `JOINTS` that the file has."""

    names: tuple[str, ...]
    xy: Floats
    """F J 2, pixels."""
    visible: NDArray[np.bool_]
    """F J."""
    present: NDArray[np.bool_]
    """F: at least half of the joints are inside the picture."""

    def rows(self, frames: range) -> "Truth":
        """Only these frames."""
        return Truth(
            self.names, self.xy[frames.start : frames.stop], self.visible[frames.start : frames.stop],
            self.present[frames.start : frames.stop],
        )  # fmt: skip


def load_truth(path: Path, frames: int) -> Truth:
    """Read the truth of a video with at least `frames` frames.

    Raises:
        UserError: it is not such a file, or of another video.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["names"]]
            xy = np.asarray(file["xy"], np.float32)
            visibility = np.asarray(file["visibility"] if "visibility" in file else np.full(xy.shape[:2], 2))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no exact joints ({error}): give an .npz with names, xy, visibility.") from error
    if xy.shape != (len(xy), len(names), 2) or visibility.shape != xy.shape[:2]:
        raise UserError(
            f"{path} has names {len(names)}, xy {xy.shape}, visibility {visibility.shape}: they do not fit."
        )
    if len(xy) < frames:
        raise UserError(f"{path} has {len(xy)} rows, the video at least {frames} pictures: give the video's own file.")
    where = {name: names.index(each) for name in JOINTS for each in (name, _BONES[name]) if each in names}
    if not where:
        raise UserError(f"{path} names none of the joints {', '.join(JOINTS)}: see `realtime pose --help`.")
    columns = list(where.values())
    present = (visibility[:, columns] > 0).mean(axis=1) >= 0.5
    return Truth(tuple(where), xy[:, columns], visibility[:, columns] == 2, present)
