"""Stay with one person among several.

The track alone follows whoever is inside its region, so it strays where people cross. What holds it: now and then a
look at who else is there, and, while there is somebody else, the colours of the clothes in every frame. A person who
stands alone is never doubted, and costs next to nothing. All times are frames, for that is what the tracker lives in.
"""

from collections.abc import Sequence
from math import dist

from realtime.pose.estimation.clothes import Clothes, clothes
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.person_detector import Person
from realtime.pose.estimation.region import Point, Region
from realtime.pose.estimation.region_network import Rgba

_LOOK_ALONE, _LOOK_TOGETHER = 30, 6
"""Frames between two looks at who is there."""
_TOGETHER = 60
"""So long after the last look at somebody else, that one may still be there, perhaps hidden behind ours."""
_REMEMBER = 10
"""Frames between two looks at the clothes of somebody who is alone."""
_LIKE, _BETTER = 0.5, 0.2
"""Likeness from which on clothes are the same; how much more alike somebody else must be to be ours instead."""
_LEARN = 0.2
"""Share of a new look at the clothes in what is remembered of them."""
_DOUBTS = 2
"""Frames in a row in other clothes after which it is somebody else."""
_PATIENCE = 45
"""Frames for which ours is awaited when only others are left; nobody leaves and is replaced faster."""


class PersonLock:
    """Says track_id to follow. Knows the clothes of the person followed and whether there are others.

    Args:
        person: track_id to choose when nobody is followed.
    """

    def __init__(self, person: str | int = PoseConfig.person) -> None:
        self._choice = person
        self._next = False
        self.track_id = 0
        """Grows whenever somebody else is followed; who comes back in the same clothes is no other."""
        self.reset()

    def reset(self) -> None:
        """Forget everybody: whoever is followed next is somebody else."""
        self.track_id += 1
        self._ours: Clothes | None = None
        self._since_look = self._doubts = self._patience = self._gone = 0
        self._since_others = _TOGETHER

    def next(self) -> None:
        """Go over to the next person to the right, from the last one to the first; from any thread."""
        self._next = True

    @property
    def due(self) -> bool:
        """Whether to look at who is there although somebody is followed."""
        interval = _LOOK_ALONE if self._alone else _LOOK_TOGETHER
        return self._next or self._doubts > 0 or self._since_look >= interval

    @property
    def _alone(self) -> bool:
        return self._since_others >= _TOGETHER

    def take(self, rgba: Rgba, people: Sequence[Person]) -> Person | None:
        """Choose track_id to follow among `people` in a picture (H W 4) while nobody is followed.

        None while ours may come out from behind somebody else.
        """
        if self._next:
            self._next = False
            self.reset()
        self._gone += 1
        if not people:
            return None
        self._look(len(people) > 1)
        if self._ours is not None and not self._alone:
            known = max(people, key=lambda each: self._likeness(rgba, each))
            if self._likeness(rgba, known) >= _LIKE:
                return known
            self._patience -= 1
            if self._patience > 0:
                return None
        chosen = self._choose(people, rgba.shape[1])
        if self._ours is not None and self._gone >= _PATIENCE and self._likeness(rgba, chosen) < _LIKE:
            self.track_id += 1
        self._ours = None
        return chosen

    def reconsider(self, rgba: Rgba, people: Sequence[Person], region: Region) -> Person | None:
        """Look at all `people` while somebody is followed in `region`; track_id to follow instead, None to stay."""
        center = region.x, region.y
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
        if not self._doubts or self._ours is None or not (ours and others):
            if self._alone:
                self._doubts = 0
            return None
        likely = max(others, key=lambda each: self._likeness(rgba, each))
        if self._likeness(rgba, likely) >= max(_LIKE, self._likeness(rgba, ours) + _BETTER):
            return likely
        self._doubts = 0  # all are in sight, and nobody else could be ours
        if min(dist(ours.hips, each.hips) for each in others) > ours.size_px:
            self._ours = self._ours.towards(clothes(rgba, ours.hips, ours.shoulders), _LEARN)
        return None

    def agree(self, rgba: Rgba, hips: Point, shoulders: Point) -> bool:
        """Whether the body just seen is still ours; to be asked once for every frame in which one is followed."""
        self._since_look += 1
        self._since_others += 1
        self._patience, self._gone = _PATIENCE, 0
        if self._alone and self._ours is not None and self._since_look % _REMEMBER:
            return True
        worn = clothes(rgba, hips, shoulders)
        if self._ours is None:
            self._ours = worn
            return True
        like = self._ours.likeness(worn) >= _LIKE
        self._doubts = 0 if like else self._doubts + 1
        if self._alone:
            self._ours = self._ours.towards(worn, _LEARN)  # whatever one wears when alone, it is one's own
        if self._alone or self._doubts < _DOUBTS:
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
