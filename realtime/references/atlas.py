"""The atlas: pictures of each part of the person from the footage, and the choice of the one that fits a pose.

A picture is uint8 h w 4: red, green, blue, alpha, the colours already times alpha; alpha is the part's outline, so what
is behind it stays behind. One file holds everything, an .npz without pickles:

format    FORMAT
size      2, width and height in pixels of the footage's pictures
widths    B 2, half-widths in statures (`bones.limbs_of`)
part      N, uint8, which of PARTS a reference is of
frame     N, int32, of the footage
corner    N 2, int16, of the cut-out in the footage's picture
hidden    N, float32, how much of the part others cover, 0..1
pose      N, index into the poses
xy, depth, confidence   P K (2), in sixteenths of a pixel (int16) and 255ths (uint8)
encoded, ends           all cut-outs as WebP, one after the other, and where each ends
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from engines.files import NO_NPZ, replace_file
from realtime.pose.pose import Floats, Pose
from realtime.references.bones import PARTS, Limbs, limbs_of
from realtime.references.describe import describe

ATLAS = "atlas.npz"
"""Its file's name, in a subject's folder and in prepared footage."""
FORMAT = 1
STEPS = 16
"""Per pixel, of the poses."""
QUALITY = 85

Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class Reference:
    """A part of the person in one frame of the footage."""

    frame: int
    corner: tuple[int, int]
    """x and y of the cut-out in the frame."""
    encoded: NDArray[np.uint8]
    """The cut-out as `encode` left it."""
    limbs: Limbs
    """In the frame's pixels."""
    hidden: float
    """How much of it others cover, 0..1."""

    @cached_property
    def picture(self) -> Rgba:
        """uint8 h w 4, colours times alpha; decoded when it is first used, in at most a millisecond or two."""
        plain = cv2.imdecode(self.encoded, cv2.IMREAD_UNCHANGED)
        if plain is None:
            raise ValueError(f"the cut-out of frame {self.frame} cannot be decoded")
        # Where all is opaque the codec leaves alpha out.
        rgba = cv2.cvtColor(plain, cv2.COLOR_BGR2RGBA if plain.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2mRGBA), np.uint8)


def encode(rgba: Floats) -> NDArray[np.uint8]:
    """A cut-out for a `Reference`, float32 h w 4, 0..255, colours not times alpha, as WebP."""
    done, data = cv2.imencode(
        ".webp",
        cv2.cvtColor((rgba + 0.5).astype(np.uint8), cv2.COLOR_RGBA2BGRA),
        [cv2.IMWRITE_WEBP_QUALITY, QUALITY],
    )
    assert done, "this OpenCV cannot write WebP"
    return np.asarray(data, np.uint8).ravel()


class Atlas:
    """References of every part.

    Args:
        size_px: width and height of the footage's pictures.
        widths: B 2, half-widths in statures.
        references: by part; none of a part that the footage never shows.
    """

    def __init__(self, size_px: tuple[int, int], widths: Floats, references: dict[str, list[Reference]]) -> None:
        assert references.keys() == PARTS.keys(), f"parts {sorted(references)}, want {sorted(PARTS)}"
        self.size_px, self.widths, self.references = size_px, widths, references
        shown = {part: rows for part, rows in references.items() if rows}
        self.descriptors = {part: _table(part, rows) for part, rows in shown.items()}
        """By part that is shown, N D."""
        self.frames = {part: np.array([row.frame for row in rows]) for part, rows in shown.items()}
        """By part, N."""
        self.hidden = {part: np.array([row.hidden for row in rows], np.float32) for part, rows in shown.items()}
        """By part, N."""

    def save(self, path: Path) -> None:
        """Write the atlas, whole or not at all."""
        rows = [(g, row) for g, part in enumerate(PARTS) for row in self.references[part]]
        poses = {row.frame: row.limbs.pose for _, row in rows}
        places = {frame: place for place, frame in enumerate(poses)}
        encoded = [row.encoded for _, row in rows]
        with replace_file(path) as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                format=np.array(FORMAT),
                size=np.array(self.size_px),
                widths=self.widths,
                part=np.array([g for g, _ in rows], np.uint8),
                frame=np.array([row.frame for _, row in rows], np.int32),
                corner=np.array([row.corner for _, row in rows], np.int16),
                hidden=np.array([row.hidden for _, row in rows], np.float32),
                pose=np.array([places[row.frame] for _, row in rows], np.int32),
                **_pack_poses(list(poses.values())),
                encoded=np.concatenate(encoded),
                ends=np.cumsum([len(data) for data in encoded]),
            )


def load_atlas(path: Path, mend: str = "export or download the subject again") -> Atlas:
    """Read what `Atlas.save` wrote.

    Args:
        path: the file.
        mend: what to do about a damaged one.

    Raises:
        UserError: it is no atlas, or another version's.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            rows = dict(file)
        version = int(rows["format"])
        atlas = _unpack(rows) if version == FORMAT else None
    except NO_NPZ as error:
        raise UserError(f"{path} is no atlas, or damaged: {mend}.") from error
    if atlas is None:
        raise UserError(f"The atlas {path} has format {version}, this program reads {FORMAT}: train the subject again.")
    return atlas


def _table(part: str, references: list[Reference]) -> Floats:
    return np.stack([describe(row.limbs, part) for row in references])


def _unpack(rows: dict[str, NDArray[Any]]) -> Atlas:
    widths, names = rows["widths"], tuple(PARTS)
    limbs = [limbs_of(pose, widths) for pose in _unpack_poses(rows)]
    references: dict[str, list[Reference]] = {part: [] for part in PARTS}
    cut_outs = np.split(rows["encoded"], rows["ends"][:-1])
    for n, (g, place) in enumerate(zip(rows["part"].tolist(), rows["pose"].tolist(), strict=True)):
        x, y = rows["corner"][n].tolist()
        frame, hidden = int(rows["frame"][n]), float(rows["hidden"][n])
        references[names[g]].append(Reference(frame, (x, y), cut_outs[n], limbs[place], hidden))
    width, height = rows["size"].tolist()
    return Atlas((width, height), widths, references)


def _pack_poses(poses: list[Pose]) -> dict[str, NDArray[Any]]:
    most = np.iinfo(np.int16).max
    xy, depth = (
        np.clip(np.round(np.stack(values) * STEPS), -most, most).astype(np.int16)
        for values in ([pose.xy for pose in poses], [pose.depth for pose in poses])
    )
    confidence = np.round(np.stack([pose.confidence for pose in poses]) * 255).astype(np.uint8)
    return {"xy": xy, "depth": depth, "confidence": confidence}


def _unpack_poses(rows: dict[str, NDArray[Any]]) -> list[Pose]:
    xy, depth = (rows[name].astype(np.float32) / np.float32(STEPS) for name in ("xy", "depth"))
    confidence = rows["confidence"].astype(np.float32) / np.float32(255)
    return [Pose(*values) for values in zip(xy, depth, confidence, strict=True)]
