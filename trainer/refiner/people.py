"""Rendered people as crops in which the refiners learn, made once from `scripts/render_people.py`'s files.

Truth: where the rig has a joint under the skin (shoulder: the upper arm's beginning, and so on), and points of the
skin for nose, eyes and ears. Every crop is a square with the part in its middle and as much around it again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.estimation.blazepose import BodyTracker
from realtime.pose.estimation.refined_hands import hand_region
from realtime.pose.estimation.refined_points import BODY_POINTS, HAND_POINTS
from realtime.pose.estimation.region import Region, around
from realtime.pose.pose import Floats
from realtime.pose.rig import rig_name
from realtime.pose.skeleton import BODY_NAMES, LEFT_HAND, NAMES, RIGHT_HAND

_HANDS = {"left": LEFT_HAND, "right": RIGHT_HAND}
_AROUND = 2.0
"""Side of a crop, in sides of the box around the points."""
_MOST_HIDDEN = 0.7
"""A hand with more hidden joints than this counts as not there."""
BODY_CROP_PX, HAND_CROP_PX = 320, 144


@dataclass(frozen=True, slots=True)
class Crops:
    """N crops of one kind of part, of many people."""

    pictures: NDArray[np.uint8]
    """N C C 3."""
    xy: Floats
    """N 3 P 2, pixels of the crop: in the picture's own frame and in the two before it."""
    visibility: NDArray[np.uint8]
    """N P: 0 outside of the picture, 1 hidden, 2 visible."""
    seen: Floats
    """N P 2, pixels of the crop: where MediaPipe's network sees the points; not-a-number where it does not."""
    person: NDArray[np.int32]
    """N."""

    def of(self, persons: Sequence[int]) -> NDArray[np.intp]:
        """The numbers of the crops of these people."""
        return np.flatnonzero(np.isin(self.person, persons))


_PARTS = ("pictures", "xy", "visibility", "seen", "person")


def load_crops(folder: Path, kind: str) -> Crops:
    """Load the crops of a kind, "body" or "hand", that `make_crops` wrote."""
    parts = {part: sorted(folder.glob(f"*-{kind}-{part}.npy")) for part in _PARTS}
    return Crops(**{part: np.concatenate([np.load(file) for file in files]) for part, files in parts.items()})


def make_crops(people: Path, out: Path, tracker: BodyTracker) -> Iterator[Path]:
    """Cut the crops of every person of a folder who has none yet; yields each person's file when it is done."""
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(people.glob("[0-9]*.npz")):
        if "tmp" in file.name:
            continue
        if not (out / f"{file.stem}-hand-person.npy").exists():
            for kind, crops in zip(("body", "hand"), _crops_of(file, tracker), strict=True):
                for part in _PARTS:
                    np.save(out / f"{file.stem}-{kind}-{part}.npy", getattr(crops, part))
        yield file


def _crops_of(file: Path, tracker: BodyTracker) -> tuple[Crops, Crops]:
    """Cut the crops of one person: bodies, hands."""
    with np.load(file) as data:
        names, xy, visibility = list(data["names"]), data["xy"], data["visibility"]
        pictures, ends = data["pictures"], data["ends"]
    body_columns = [names.index(rig_name(point)) for point in BODY_POINTS]
    hand_columns = {side: [names.index(rig_name(point)) for point in NAMES[part]] for side, part in _HANDS.items()}
    bodies, hands = [], []
    for n, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        rgb = np.asarray(cv2.imdecode(pictures[start:end], cv2.IMREAD_COLOR_RGB), np.uint8)
        seen = _look(rgb, tracker)
        region = around(xy[n, 0, body_columns], 0.0, scale=_AROUND)
        bodies.append(
            _cut(rgb, region, BODY_CROP_PX, xy[n][:, body_columns], visibility[n, body_columns], seen, mirrored=False)
        )
        for side, columns in hand_columns.items():
            if (visibility[n, columns] < 2).mean() > _MOST_HIDDEN or (visibility[n, columns] == 0).any():
                continue
            region = hand_region(xy[n, 0, columns], scale=_AROUND)
            nothing = np.full((HAND_POINTS, 2), np.nan, np.float32)
            hands.append(
                _cut(
                    rgb,
                    region,
                    HAND_CROP_PX,
                    xy[n][:, columns],
                    visibility[n, columns],
                    nothing,
                    mirrored=side == "right",
                )
            )
    person = int(file.stem)
    return _stacked(bodies, person), _stacked(hands, person)


def _look(rgb: Rgb, tracker: BodyTracker) -> Floats:
    """Where MediaPipe's network sees the body's points, P 2, pixels; not-a-number where it sees nobody."""
    tracker.reset()
    body = tracker.track(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), np.uint8))
    if body is None:
        return np.full((len(BODY_POINTS), 2), np.nan, np.float32)
    points: Floats = body.xy[[BODY_NAMES.index(point) for point in BODY_POINTS]]
    return points


_Cut = tuple[Rgb, Floats, NDArray[np.uint8], Floats]


def _cut(
    rgb: Rgb, region: Region, side_px: int, xy: Floats, visibility: NDArray[np.uint8], seen: Floats, *, mirrored: bool
) -> _Cut:
    """The crop of a region with its points: xy L P 2, visibility P, seen P 2."""
    matrix = region.crop_matrix(side_px)
    crop = cv2.warpAffine(
        rgb, matrix, (side_px, side_px), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    inside = region.from_frame(xy.reshape(-1, 2)).reshape(xy.shape) * np.float32(side_px)
    seen = region.from_frame(seen) * np.float32(side_px)
    if mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
        inside[..., 0], seen[..., 0] = side_px - inside[..., 0], side_px - seen[..., 0]
    return np.asarray(crop, np.uint8), inside.astype(np.float32), visibility, seen


def _stacked(cuts: list[_Cut], person: int) -> Crops:
    pictures, xy, visibility, seen = zip(*cuts, strict=True)
    return Crops(
        np.stack(pictures), np.stack(xy), np.stack(visibility), np.stack(seen), np.full(len(cuts), person, np.int32)
    )
