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
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.parts.bones import PARTS, Limbs, limbs_of
from realtime.parts.describe import describe
from realtime.pose.pose import Floats, Pose

FORMAT = 1
STEPS = 16
"""Per pixel, of the poses."""
QUALITY = 90

Rgba = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reference:
    """A part of the person in one frame of the footage."""

    frame: int
    corner: tuple[int, int]
    """x and y of the cut-out in the frame."""
    picture: Rgba
    """uint8 h w 4, colours times alpha."""
    limbs: Limbs
    """In the frame's pixels."""
    hidden: float
    """How much of it others cover, 0..1."""


class Atlas:
    """References of every part.

    Args:
        size_px: width and height of the footage's pictures.
        widths: B 2, half-widths in statures.
        references: by part; every part has some.
    """

    def __init__(self, size_px: tuple[int, int], widths: Floats, references: dict[str, list[Reference]]) -> None:
        assert references.keys() == PARTS.keys(), f"parts {sorted(references)}, want {sorted(PARTS)}"
        self.size_px, self.widths, self.references = size_px, widths, references
        self.descriptors = {part: _table(part, rows) for part, rows in references.items()}
        """By part, N D."""
        self.frames = {part: np.array([row.frame for row in rows]) for part, rows in references.items()}
        """By part, N."""
        self.hidden = {part: np.array([row.hidden for row in rows], np.float32) for part, rows in references.items()}
        """By part, N."""

    def save(self, path: Path) -> None:
        """Write the atlas, whole or not at all."""
        rows = [(g, row) for g, part in enumerate(PARTS) for row in self.references[part]]
        poses = {row.frame: row.limbs.pose for _, row in rows}
        places = {frame: place for place, frame in enumerate(poses)}
        encoded = [_encode(row.picture) for _, row in rows]
        draft = path.with_name(path.name + ".new")
        with draft.open("wb") as file:
            np.savez(
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
                **_pack(list(poses.values())),
                encoded=np.concatenate(encoded),
                ends=np.cumsum([len(data) for data in encoded]),
            )
        draft.replace(path)


def load_atlas(path: Path) -> Atlas:
    """Read what `Atlas.save` wrote.

    Raises:
        UserError: it is no atlas, or another version's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            rows = dict(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not an atlas ({error}): export or download the subject again.") from error
    if int(rows.get("format", 0)) != FORMAT:
        raise UserError(f"The atlas {path} is of another version: train the subject again.")
    widths, poses = rows["widths"], _unpack(rows)
    references: dict[str, list[Reference]] = {part: [] for part in PARTS}
    names, start = tuple(PARTS), 0
    limbs = [limbs_of(pose, widths) for pose in poses]
    for n, end in enumerate(rows["ends"].tolist()):
        picture = _decode(rows["encoded"][start:end])
        x, y = rows["corner"][n].tolist()
        reference = Reference(
            int(rows["frame"][n]), (x, y), picture, limbs[rows["pose"][n]], float(rows["hidden"][n])
        )
        references[names[rows["part"][n]]].append(reference)
        start = end
    width, height = rows["size"].tolist()
    return Atlas((width, height), widths, references)


def _table(part: str, references: list[Reference]) -> Floats:
    return np.stack([describe(row.limbs, part) for row in references])


def _encode(picture: Rgba) -> NDArray[np.uint8]:
    """Colours are divided by alpha, so that what the codec rounds at the outline does not darken it."""
    alpha = np.maximum(picture[..., 3:].astype(np.float32), 1)
    plain = picture.copy()
    plain[..., :3] = np.minimum(picture[..., :3] * 255.0 / alpha + 0.5, 255)
    done, data = cv2.imencode(
        ".webp", cv2.cvtColor(plain, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
    )
    assert done, "this OpenCV cannot write WebP"
    return np.asarray(data, np.uint8).ravel()


def _decode(data: NDArray[np.uint8]) -> Rgba:
    plain = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(cv2.cvtColor(plain, cv2.COLOR_BGRA2RGBA), cv2.COLOR_RGBA2mRGBA), np.uint8)


def _pack(poses: list[Pose]) -> dict[str, NDArray[np.generic]]:
    most = np.iinfo(np.int16).max
    xy, depth = (
        np.clip(np.round(np.stack(values) * STEPS), -most, most).astype(np.int16)
        for values in ([pose.xy for pose in poses], [pose.depth for pose in poses])
    )
    confidence = np.round(np.stack([pose.confidence for pose in poses]) * 255).astype(np.uint8)
    return {"xy": xy, "depth": depth, "confidence": confidence}


def _unpack(rows: dict[str, NDArray[np.generic]]) -> list[Pose]:
    xy, depth = (rows[name].astype(np.float32) / np.float32(STEPS) for name in ("xy", "depth"))
    confidence = rows["confidence"].astype(np.float32) / np.float32(255)
    return [Pose(*values) for values in zip(xy, depth, confidence, strict=True)]
