"""Follow a body with a refiner: true joints in every frame, and MediaPipe's networks only now and then."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.first_look import ANCHORS, CARRIED_ROWS, ROWS, FirstLook, with_points
from realtime.pose.estimation.refined_points import Refined, share_of_trust
from realtime.pose.estimation.refiner import Refiner
from realtime.pose.estimation.region import Region, Rgba, around
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_AROUND = 1.3
"""Side of the region, in sides of the box around the points; as in training."""
_LEAST_PRESENCE, _VISIBLE = 0.5, 0.5
_AGREES = 0.04
"""How far the large network may see a point from where it is expected, in sizes of the region."""
_MOST_STEP = 0.12
"""A point that moves farther between two pictures, in sizes of the region, is not expected to go on so."""
_NONE_SURE = np.zeros(len(BODY_NAMES), np.bool_)
_Found = tuple[Body, NDArray[np.bool_]]
"""A body, and which of its points are sure."""
_LEANS = 0.7
"""Radians by which somebody leans, beyond which the region turns along."""
_LOOK_DEVIATION, _EXPECTED_DEVIATION = 0.007, 0.02
"""Absolute error to expect of a coordinate that MediaPipe's network saw, or that the last pictures let expect, in sizes
of the region."""
_SHARED = 2.0
"""The refiner starts from what it corrects and shares its errors, so its deviation counts so many times."""
_LOOK_CORRECTION, _EXPECTED_CORRECTION = (0.02, 0.04), (0.05, 0.1)
"""Corrections, in sizes of the region: up to the one a point is moved, from the other on it is not. What is farther
from a look is an error of the refiner's, which has seen fewer people; as far as from one arm to the other, a mix-up."""
_SURE = 0.025
"""A refiner that states a larger deviation, in sizes of the region, is unsure of the point."""


class RefinedBodyTracker:
    """A `BodyTracker` whose points are refined, and which need not look in every picture.

    Args:
        tracker: MediaPipe's.
        threads: cores that one run may use.
        look_every: pictures from one look of MediaPipe's network to the next. It looks at every one where the refiner
            is lost and while other people are there, for it is what tells them apart.
    """

    def __init__(self, tracker: BodyTracker, threads: int, look_every: int) -> None:
        self._tracker, self._look_every = tracker, look_every
        self._refiner = Refiner("body_refiner", threads)
        self._first_look = FirstLook()
        self._body: Body | None
        self._pictures: int
        """Since the body was found."""
        self._step: Floats
        """33 2, pixels: how the points moved last, zero where that is unsure."""
        self._sure: NDArray[np.bool_]
        """33: which points were sure in the last picture."""
        self._region: Region
        self._lose()

    def reset(self) -> None:
        """Forget the body, and whose it was."""
        self._tracker.reset()
        self._lose()

    @property
    def track_id(self) -> int:
        """Grows whenever it goes over to somebody else's body."""
        return self._tracker.track_id

    def next_person(self) -> None:
        """Follow the next person to the right, after the last one the first; from any thread."""
        self._tracker.next_person()

    def track(self, rgba: Rgba) -> Body | None:
        """The body in a picture (H W 4), None if there is none."""
        track_id = self.track_id
        looks = self._pictures % self._look_every == 0 or not self._tracker.alone
        found = None if looks or self._body is None else self._follow(rgba, self._body)
        if found is None:
            seen = self._tracker.track(rgba)
            if seen is None or self.track_id != track_id:
                self._lose()
            if seen is None:
                return None
            found = self._refine(rgba, self._first_look.corrected(seen))
        body, sure = found
        if self._body is not None:
            step = body.xy - self._body.xy
            slow = np.linalg.norm(step, axis=1) < _MOST_STEP * self._region.size
            self._step = np.where((sure & self._sure & slow)[:, None], step, np.float32(0))
        self._body, self._sure, self._pictures = body, sure, self._pictures + 1
        return body

    def _follow(self, rgba: Rgba, last: Body) -> _Found | None:
        """The body from where it was and the picture alone; None if any point of it that is not hidden is unsure."""
        expected = replace(last, xy=last.xy + self._step)
        refined = self._look(rgba, expected)
        if refined.presence < _LEAST_PRESENCE:
            return None
        body, sure = self._fused(expected, refined, _EXPECTED_DEVIATION, _EXPECTED_CORRECTION)
        return (body, sure) if (sure | (last.visibility < _VISIBLE))[ROWS].all() else None

    def _refine(self, rgba: Rgba, seen: Body) -> _Found:
        """The body that MediaPipe's network has seen, with truer points; as it is where the refiner is unsure."""
        refined = self._look(rgba, self._agreed(seen))
        if refined.presence < _LEAST_PRESENCE:
            return seen, _NONE_SURE
        return self._fused(seen, refined, _LOOK_DEVIATION, _LOOK_CORRECTION)

    def _agreed(self, seen: Body) -> Body:
        """What MediaPipe's network sees, its points where they are expected if it sees them near there.

        So a look changes nothing while all is well, though that network has every joint a little elsewhere.
        """
        if self._body is None or self._look_every == 1:
            return seen
        expected = self._body.xy + self._step
        near = np.linalg.norm(expected - seen.xy, axis=1) < _AGREES * self._region.size
        return replace(seen, xy=np.where((near & self._sure)[:, None], expected, seen.xy))

    def _look(self, rgba: Rgba, expected: Body) -> Refined:
        points = expected.xy[ROWS]
        rotation = self._tracker.rotation
        region = around(points, rotation if abs(rotation) > _LEANS else 0.0, scale=_AROUND)
        self._region = _held(self._region, region, points)
        return self._refiner(rgba, self._region, points, np.ones(len(points), np.bool_))

    def _fused(self, body: Body, refined: Refined, deviation: float, correction: tuple[float, float]) -> _Found:
        """What a body's points and the refined ones say together, and which points the refiner is sure of.

        Args:
            deviation: of the body's points, in sizes of the region. Each side weighs as much as its variance is small.
            correction: from and up to which the refined points are doubted.
        """
        size_px = np.float32(self._region.size)
        points = body.xy[ROWS]
        away = np.linalg.norm(refined.xy - points, axis=1) / size_px
        own, others = np.float32(deviation**2), (_SHARED * refined.deviation / size_px) ** 2
        trust = own / (own + others) * share_of_trust(away, *correction)
        stated = np.sqrt((1 - trust) * own) * size_px
        moved = with_points(body, points + trust[:, None] * (refined.xy - points))
        every, sure = moved.deviation.copy(), _NONE_SURE.copy()
        every[ROWS], sure[ROWS] = stated, (refined.deviation < _SURE * size_px) & (away < correction[1])
        for values in (every, sure):
            values[CARRIED_ROWS] = values[ANCHORS]
        return replace(moved, deviation=every), sure

    def _lose(self) -> None:
        self._body = None
        self._pictures = 0
        self._step, self._sure = np.zeros((len(BODY_NAMES), 2), np.float32), _NONE_SURE
        self._region = Region(0.0, 0.0, 1.0, 0.0)


def _held(last: Region, new: Region, points: Floats) -> Region:
    """The last region while it is good: one that stands still sees the person stand still."""
    inside: NDArray[np.float32] = np.abs(last.from_frame(points) - np.float32(0.5))
    alike = 0.85 < new.size / last.size < 1.15 and abs(new.rotation - last.rotation) < 0.3
    return last if alike and inside.max() < 0.46 else new
