"""Follow a body with a refiner: true joints in every frame, and MediaPipe's networks only now and then."""

from dataclasses import replace
from math import remainder, tau

import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.first_look import ANCHORS, CARRIED_ROWS, ROWS, FirstLook, with_points
from realtime.pose.estimation.refined_points import BODY_AROUND, Refined, share_of_trust
from realtime.pose.estimation.refiner import Refiner
from realtime.pose.estimation.region import Region, Rgba, around
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_LEAST_PRESENCE, _VISIBLE = 0.5, 0.5
_AGREES = 0.04
"""How far the large network may see a point from where it is expected, in sizes of the region."""
_MOST_STEP = 0.12
"""A point that moves farther between two pictures, in sizes of the region, is not expected to go on so."""
_FOLLOWED_STEP = 0.02
"""When a point moves farther, in sizes of the region, MediaPipe's network looks at once: it sees fast limbs better."""
_NONE_SURE = np.zeros(len(BODY_NAMES), np.bool_)
_Found = tuple[Body, NDArray[np.bool_]]
"""A body, and which of its points are sure."""
_LEANS = 0.7
"""Radians by which somebody leans, beyond which the region turns along."""
_LOOK_DEVIATION = 0.007
"""Absolute error to expect of a coordinate that MediaPipe's network saw, in sizes of the region."""
_SHARED = 2.0
"""The refiner starts from what it corrects and shares its errors, so its deviation counts so many times."""
_LOOK_CORRECTION = 0.03, 0.06
"""Corrections of a look, in sizes of the region: up to the one a point is moved, from the other on it is not. What is
farther away is an error of the refiner's, which has seen fewer people."""
_STEP_CORRECTION = 0.05, 0.1
"""The same for corrections of what is expected: as far as from one arm to the other, the two are mixed up."""
_DEVIATION = 0.02, 0.05
"""Deviations, in sizes of the region: up to the one the refiner alone is believed, from the other on it is not."""
_SURE = 0.015
"""A refiner that states a larger deviation, in sizes of the region, is unsure of the point."""


class RefinedBodyTracker:
    """A `BodyTracker` whose points are refined, and which need not look in every picture.

    Args:
        tracker: MediaPipe's.
        threads: cores that one run may use.
    """

    def __init__(self, tracker: BodyTracker, threads: int) -> None:
        self._tracker = tracker
        self.look_every = 1
        """Pictures from one look of MediaPipe's network to the next; may be changed from any thread. It looks at every
        one where the refiner is lost and while other people are there, for it is what tells them apart."""
        self._refiner = Refiner("body_refiner", threads)
        self._first_look = FirstLook()
        self._body: Body | None
        self._pictures: int
        """Since the body was found."""
        self._step: Floats
        """33 2, pixels: how the points moved last, zero where that is unsure."""
        self._sure: NDArray[np.bool_]
        """33: which points were sure in the last picture."""
        self._calm: bool
        """Whether the refiner alone could have followed the body into the last picture."""
        self._offset: Floats
        """P 2, pixels: from what the refiner said when MediaPipe's network looked last to what both said together. Kept
        until it looks again, so that nothing jumps when it does."""
        self._region: Region
        self._lose()

    def use(self, precision: Precision) -> None:
        """Let MediaPipe's network compute in another precision; see `BodyTracker.use`."""
        self._tracker.use(precision)

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
        looks = self._pictures % self.look_every == 0 or not self._tracker.alone or not self._calm
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
            self._calm = self._followed(self._body, body, sure)
        self._body, self._sure, self._pictures = body, sure, self._pictures + 1
        return body

    def _follow(self, rgba: Rgba, last: Body) -> _Found | None:
        """The body from where it was and the picture alone; None if any point that is not hidden is unsure or fast."""
        expected = replace(last, xy=last.xy + self._step)
        refined = self._look(rgba, expected)
        if refined.presence < _LEAST_PRESENCE:
            return None
        size_px, points = np.float32(self._region.size), expected.xy[ROWS]
        away = refined.xy + self._offset - points
        length = np.linalg.norm(away, axis=1) / size_px
        trust = share_of_trust(refined.deviation / size_px, *_DEVIATION) * share_of_trust(length, *_STEP_CORRECTION)
        body, sure = self._moved(expected, trust[:, None] * away, refined, length < _STEP_CORRECTION[1])
        return (body, sure) if self._followed(last, body, sure) else None

    def _followed(self, last: Body, body: Body, sure: NDArray[np.bool_]) -> bool:
        """Whether all points that are not hidden are sure, and went no farther than the refiner alone can follow."""
        slow = np.linalg.norm(body.xy - last.xy, axis=1) < _FOLLOWED_STEP * self._region.size
        return bool(((sure & slow) | (last.visibility < _VISIBLE))[ROWS].all())

    def _refine(self, rgba: Rgba, seen: Body) -> _Found:
        """The body that MediaPipe's network has seen, weighed with what the refiner says by the inverse variances."""
        refined = self._look(rgba, self._agreed(seen))
        if refined.presence < _LEAST_PRESENCE:
            return seen, _NONE_SURE
        size_px = np.float32(self._region.size)
        away = refined.xy - seen.xy[ROWS]
        length = np.linalg.norm(away, axis=1) / size_px
        variance, looks_variance = (_SHARED * refined.deviation / size_px) ** 2, np.float32(_LOOK_DEVIATION**2)
        near = share_of_trust(length, *_LOOK_CORRECTION)[:, None]
        weight = (looks_variance / (looks_variance + variance))[:, None]
        self._offset = near * (weight - 1) * away
        return self._moved(seen, near * weight * away, refined, length < _LOOK_CORRECTION[1])

    def _agreed(self, seen: Body) -> Body:
        """Where the refiner starts from when MediaPipe's network has looked: where points are expected, if it sees them
        near there. So the refiner says what it would have said without that look.
        """
        if self._body is None or self.look_every == 1:
            return seen
        expected = self._body.xy + self._step
        near = np.linalg.norm(expected - seen.xy, axis=1) < _AGREES * self._region.size
        return replace(seen, xy=np.where((near & self._sure)[:, None], expected, seen.xy))

    def _look(self, rgba: Rgba, expected: Body) -> Refined:
        points = expected.xy[ROWS]
        rotation = self._tracker.rotation
        region = around(points, rotation if abs(rotation) > _LEANS else 0.0, scale=BODY_AROUND)
        self._region = _held(self._region, region, points)
        return self._refiner(rgba, self._region, points, np.ones(len(points), np.bool_))

    def _moved(self, body: Body, by: Floats, refined: Refined, near: NDArray[np.bool_]) -> _Found:
        """The body with the refiner's points moved (P 2, pixels), and which of them it is sure of."""
        moved = with_points(body, body.xy[ROWS] + by)
        deviation, sure = moved.deviation.copy(), _NONE_SURE.copy()
        deviation[ROWS] = refined.deviation
        sure[ROWS] = near & (refined.deviation < _SURE * self._region.size)
        for values in (deviation, sure):
            values[CARRIED_ROWS] = values[ANCHORS]
        return replace(moved, deviation=deviation), sure

    def _lose(self) -> None:
        self._body = None
        self._pictures = 0
        self._step, self._sure = np.zeros((len(BODY_NAMES), 2), np.float32), _NONE_SURE
        self._calm = True
        self._offset = np.zeros((len(ROWS), 2), np.float32)
        self._region = Region(0.0, 0.0, 1.0, 0.0)


def _held(last: Region, new: Region, points: Floats) -> Region:
    """The last region while it is good: one that stands still sees the person stand still."""
    inside: NDArray[np.float32] = np.abs(last.from_frame(points) - np.float32(0.5))
    turned = abs(remainder(new.rotation - last.rotation, tau))
    alike = 0.85 < new.size / last.size < 1.15 and turned < 0.3
    return last if alike and inside.max() < 0.46 else new
