"""Stay with one person among several.

A track follows whoever is inside its region, so alone it would go over to somebody else where people cross. Two things
prevent that: now and then the detector looks for others, and while there are others, the colours of the clothes are
compared in every frame. A person who is alone is never doubted, which costs next to nothing. All times are frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import dist, pi

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.person_detector import Person
from realtime.pose.estimation.region import Point, Region, Rgba, aligned
from realtime.pose.pose import Floats

_LOOK_ALONE, _LOOK_TOGETHER = 30, 6
"""Frames between two runs of the detector: while ours is alone, and while others are there."""
_TOGETHER = 60
"""Frames after the last sight of somebody else for which that one may still be there, perhaps hidden behind ours."""
_REMEMBER = 10
"""Frames between two looks at the clothes while ours is alone."""
_LIKE, _BETTER = 0.5, 0.2
"""Likeness from which on clothes are the same, and by which somebody else's must exceed it to be ours instead."""
_LEARN = 0.2
"""Weight of a new look at the clothes in what is remembered of them."""
_DOUBTS = 2
"""Frames in a row in other clothes after which it is somebody else."""
_WAIT_FRAMES = 45
"""Frames for which ours is awaited when only others are left; nobody leaves and is replaced faster."""

_SIDE = 24
_STRIP = slice(_SIDE // 4, -_SIDE // 4)
"""Columns of the crop that show the torso; beside them there may be arms or background."""
_BINS = 16
_GREY, _CHROMA_STEP = 128, 6
"""Of 8 bit Lab; colours beyond the outermost bin count into it."""


class PersonLock:
    """Decides which person is followed. "Ours" is the one who is.

    Args:
        person: whom to choose when nobody is followed, as in `PoseConfig`.
    """

    def __init__(self, person: str | int = PoseConfig.person) -> None:
        self._choice = person
        self._next = False
        self.track_id = 0
        """Grows whenever somebody else is followed; who comes back in the same clothes is the same person."""
        self.reset()

    def reset(self) -> None:
        """Forget ours: whoever is followed next is somebody else."""
        self.track_id += 1
        self._ours: Clothes | None = None
        self._since_look = self._doubts = self._wait_frames = self._gone = 0
        self._since_others = _TOGETHER

    def next(self) -> None:
        """Follow the next person to the right, after the last one the first; from any thread."""
        self._next = True

    @property
    def due(self) -> bool:
        """Whether to run the detector although somebody is followed."""
        interval = _LOOK_ALONE if self.alone else _LOOK_TOGETHER
        return self._next or self._doubts > 0 or self._since_look >= interval

    @property
    def alone(self) -> bool:
        """Whether nobody else has been seen for a while."""
        return self._since_others >= _TOGETHER

    def take(self, rgba: Rgba, people: Sequence[Person]) -> Person | None:
        """Whom to follow among `people` in a picture (H W 4) while nobody is followed.

        None while ours may come out from behind somebody else.
        """
        self._gone += 1
        if not people:
            return None
        if self._next:
            self._next = False
            if len(people) > 1 or self._ours is None or self._likeness(rgba, people[0]) < _LIKE:
                self.reset()
        self._look(len(people) > 1)
        if self._ours is not None and not self.alone:
            known = max(people, key=lambda each: self._likeness(rgba, each))
            if self._likeness(rgba, known) >= _LIKE:
                return known
            self._wait_frames -= 1
            if self._wait_frames > 0:
                return None
        chosen = self._choose(people, rgba.shape[1])
        if self._ours is not None and self._gone >= _WAIT_FRAMES and self._likeness(rgba, chosen) < _LIKE:
            self.track_id += 1
        self._ours = None
        return chosen

    def reconsider(self, rgba: Rgba, people: Sequence[Person], region: Region) -> Person | None:
        """Whom to follow instead among `people` in a picture (H W 4) while ours is in `region`; None to stay."""
        center = region.x, region.y
        # Ours is the one where the track is; if nobody is near there, the detector has missed ours.
        ours = min(people, key=lambda each: dist(each.hips, center), default=None)
        if ours is not None and dist(ours.hips, center) > 0.4 * region.size:
            ours = None
        others = [each for each in people if each is not ours]
        self._look(bool(others))
        if self._next:
            self._next = False
            if not others:
                return None
            self.reset()
            self._look(others=True)
            row = sorted(others, key=lambda each: each.hips[0])
            return next((each for each in row if each.hips[0] > region.x), row[0])
        # Without doubts there is no reason to change, and unless the detector sees both, nobody to compare.
        if not self._doubts or self._ours is None or not (ours and others):
            if self.alone:
                self._doubts = 0
            return None
        likely = max(others, key=lambda each: self._likeness(rgba, each))
        if self._likeness(rgba, likely) >= max(_LIKE, self._likeness(rgba, ours) + _BETTER):
            return likely
        self._doubts = 0  # all are in sight, and nobody else could be ours
        # Learn the clothes only from afar of others: a crop of two people would mix their colours.
        if min(dist(ours.hips, each.hips) for each in others) > ours.size_px:
            self._ours = self._ours.towards(clothes(rgba, ours.hips, ours.shoulders), _LEARN)
        return None

    def agree(self, rgba: Rgba, hips: Point, shoulders: Point) -> bool:
        """Whether the body just seen is still ours; to be called once for every frame in which one is followed."""
        self._since_look += 1
        self._since_others += 1
        self._wait_frames, self._gone = _WAIT_FRAMES, 0
        if self.alone and self._ours is not None and self._since_look % _REMEMBER:
            return True
        worn = clothes(rgba, hips, shoulders)
        if self._ours is None:
            self._ours = worn
            return True
        like = self._ours.likeness(worn) >= _LIKE
        self._doubts = 0 if like else self._doubts + 1
        if self.alone:
            self._ours = self._ours.towards(worn, _LEARN)  # whatever one wears when alone, it is one's own
        if self.alone or self._doubts < _DOUBTS:
            return True
        self._doubts = 0
        return False

    def _look(self, others: bool) -> None:
        self._since_look = 0
        if others:
            self._since_others = 0

    def _likeness(self, rgba: Rgba, person: Person) -> float:
        assert self._ours is not None
        return self._ours.likeness(clothes(rgba, person.hips, person.shoulders))

    def _choose(self, people: Sequence[Person], width: int) -> Person:
        row = sorted(people, key=lambda each: each.hips[0])
        if isinstance(self._choice, int):
            return row[min(self._choice, len(row)) - 1]
        if self._choice == "left":
            return row[0]
        if self._choice == "right":
            return row[-1]
        if self._choice == "nearest":
            return max(people, key=lambda each: each.size_px)
        if self._choice == "main":
            return max(people, key=lambda each: each.size_px * (1 - abs(each.hips[0] / width - 0.5)))
        raise ValueError(f"person must be main, nearest, left, right or a number, not {self._choice!r}")


@dataclass(frozen=True, slots=True)
class Clothes:
    """Histograms of the colours of the torso, by which people are told apart."""

    chroma: Floats
    """16 16, shares of Lab's a and b; their sum is 1."""
    lightness: Floats
    """16, shares of Lab's L; their sum is 1."""

    def likeness(self, other: "Clothes") -> float:
        """How alike they are, 0..1: the product of both Bhattacharyya coefficients.

        In the project's footage 0.6 to 1 for one person in all poses and turns, at most 0.4 for two people.
        """
        return float(np.sqrt(self.chroma * other.chroma).sum() * np.sqrt(self.lightness * other.lightness).sum())

    def towards(self, other: "Clothes", share: float) -> "Clothes":
        """A mixture with `share` of the other."""
        mix = np.float32(share)
        return Clothes(
            self.chroma + mix * (other.chroma - self.chroma),
            self.lightness + mix * (other.lightness - self.lightness),
        )


def clothes(rgba: Rgba, hips: Point, shoulders: Point) -> Clothes:
    """The clothes of somebody in a picture (H W 4) whose hips and shoulders have these middles (pixels)."""
    middle = ((hips[0] + shoulders[0]) / 2, (hips[1] + shoulders[1]) / 2)
    crop = cv2.warpAffine(
        rgba,
        aligned(middle, shoulders, pi / 2, scale=0.9).crop_matrix(_SIDE),
        (_SIDE, _SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    lab = cv2.cvtColor(crop[:, :, :3], cv2.COLOR_RGB2LAB)[:, _STRIP].reshape(-1, 3).astype(np.int64)
    a, b = ((lab[:, 1:].T - _GREY) // _CHROMA_STEP + _BINS // 2).clip(0, _BINS - 1)
    chroma = np.bincount(a * _BINS + b, minlength=_BINS * _BINS).reshape(_BINS, _BINS)
    lightness = np.bincount(lab[:, 0] * _BINS // 256, minlength=_BINS)
    return Clothes(_soft(chroma), _soft(lightness[None])[0])


def _soft(counts: NDArray[np.int64]) -> Floats:
    """Shares, spread a little over the neighbouring bins, so that a change of the light matters less."""
    spread = cv2.GaussianBlur(counts.astype(np.float32), (3, 3), 0)
    return np.asarray(spread / spread.sum(), np.float32)
