"""Follow a body with a refiner: true joints in every frame, and MediaPipe's networks only now and then."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.refined_points import BODY_POINTS, Refined, share_of_trust
from realtime.pose.estimation.refiner import Refiner
from realtime.pose.estimation.region import Region, Rgba, around
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_ROWS = [BODY_NAMES.index(name) for name in BODY_POINTS]
_CARRIED = {
    "left_eye_inner": "left_eye", "left_eye_outer": "left_eye", "right_eye_inner": "right_eye",
    "right_eye_outer": "right_eye", "mouth_left": "nose", "mouth_right": "nose", "left_thumb": "left_index",
    "right_thumb": "right_index", "left_heel": "left_ankle", "right_heel": "right_ankle",
}  # fmt: skip
"""What the refiner does not know keeps its place beside what it knows."""
_CARRIED_ROWS = [BODY_NAMES.index(name) for name in _CARRIED]
_ANCHORS = [BODY_NAMES.index(name) for name in _CARRIED.values()]
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
_DEVIATION = 0.02, 0.05
"""Deviations, in sizes of the region: up to the one a point is believed, from the other on it is not."""
_CORRECTION = 0.05, 0.1
"""The same for corrections: one as large as from one arm to the other is none, the sides are mixed up."""


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
        self._body: Body | None
        self._pictures: int
        """Since the body was found."""
        self._step: Floats
        """33 2, pixels: how the points moved last, zero where that is unsure."""
        self._sure: NDArray[np.bool_]
        """33: which points were sure in the last picture."""
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
        looks = self._pictures % self._look_every == 0 or not self._tracker.alone
        found = None if looks or self._body is None else self._follow(rgba, self._body)
        if found is None:
            seen = self._tracker.track(rgba)
            if seen is None or self.track_id != track_id:
                self._lose()
            if seen is None:
                return None
            found = self._refine(rgba, self._agreed(seen))
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
        body, sure = self._moved(expected, refined)
        return (body, sure) if (sure | (last.visibility < _VISIBLE))[_ROWS].all() else None

    def _agreed(self, seen: Body) -> Body:
        """What MediaPipe's network sees, its points where they are expected if it sees them near there.

        So a look changes nothing while all is well, though that network has every joint a little elsewhere.
        """
        if self._body is None or self._look_every == 1:
            return seen
        expected = self._body.xy + self._step
        near = np.linalg.norm(expected - seen.xy, axis=1) < _AGREES * self._region.size
        return replace(seen, xy=np.where((near & self._sure)[:, None], expected, seen.xy))

    def _refine(self, rgba: Rgba, seen: Body) -> _Found:
        """The body that MediaPipe's network has seen, with truer points; as it is where the refiner is unsure."""
        refined = self._look(rgba, seen)
        return (seen, _NONE_SURE) if refined.presence < _LEAST_PRESENCE else self._moved(seen, refined)

    def _look(self, rgba: Rgba, expected: Body) -> Refined:
        points = expected.xy[_ROWS]
        rotation = self._tracker.rotation
        region = around(points, rotation if abs(rotation) > _LEANS else 0.0, scale=_AROUND)
        self._region = _held(self._region, region, points)
        return self._refiner(rgba, self._region, points, np.ones(len(points), np.bool_))

    def _moved(self, body: Body, refined: Refined) -> _Found:
        """The body with the refined points, and which of its points are sure."""
        size_px = np.float32(self._region.size)
        away = np.linalg.norm(refined.xy - body.xy[_ROWS], axis=1)
        trust = share_of_trust(refined.deviation / size_px, *_DEVIATION) * share_of_trust(away / size_px, *_CORRECTION)
        xy, deviation, sure = body.xy.copy(), body.deviation.copy(), _NONE_SURE.copy()
        xy[_ROWS] += trust[:, None] * (refined.xy - xy[_ROWS])
        xy[_CARRIED_ROWS] += xy[_ANCHORS] - body.xy[_ANCHORS]
        for values, refined_values in ((deviation, refined.deviation), (sure, trust > 0)):
            values[_ROWS] = refined_values
            values[_CARRIED_ROWS] = values[_ANCHORS]
        return replace(body, xy=xy, deviation=deviation), sure

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
