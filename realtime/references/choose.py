"""The choice of references: for every part the one that fits a pose best, changed seldom and softly."""

from dataclasses import dataclass

import numpy as np

from realtime.pose.pose import Floats
from realtime.references.atlas import Atlas, Reference
from realtime.references.bones import PARTS, Limbs, kind
from realtime.references.describe import describe

FADE_FRAMES = 4
"""So many frames a new reference takes to replace the old one."""
KEEP = 1.15
"""A reference stays while no other is nearer than its distance over this ..."""
KEEP_BY = 0.01
"""... and less than so much nearer."""
HIDDEN = {"torso": 0.3, "head": 0.3, "arm": 0.2, "hand": 0.1, "leg": 0.2}
"""What a wholly hidden part adds to the distance."""
FORBIDDEN = 1e9
"""Farther than any reference is."""
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class ChosenReference:
    """What one part is taken from."""

    reference: Reference
    share: float
    """Of the new reference, above 0 to 1; the rest is the old one's."""
    old: Reference | None
    """None when the share is 1."""


@dataclass(slots=True)
class _Turn:
    """Where one part is between two references."""

    chosen: int = NOWHERE
    old: int = NOWHERE
    age: int = FADE_FRAMES


class Chooser:
    """Owns which reference every part has, and the change from the old to the new one."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self.reset()

    def reset(self) -> None:
        """Choose anew."""
        self._turns = {part: _Turn() for part in PARTS}

    def step(self, limbs: Limbs, *, frame: int | None = None, apart: int = 0) -> dict[str, ChosenReference]:
        """Choose for the next pose.

        Args:
            limbs: the pose's, made with the atlas's widths.
            frame: of the footage that the pose is from, None for any other pose.
            apart: references from fewer than so many frames away are not allowed.

        Returns:
            By part that the footage shows.
        """
        return {part: self._step(part, describe(limbs, part), frame, apart) for part in self._atlas.descriptors}

    def _step(self, part: str, wanted: Floats, frame: int | None, apart: int) -> ChosenReference:
        away = (
            np.linalg.norm(self._atlas.descriptors[part] - wanted, axis=1)
            + HIDDEN[kind(part)] * self._atlas.hidden[part]
        )
        gap = np.abs(self._atlas.frames[part] - frame) if frame is not None else np.full(len(away), apart)
        # If nothing else is left, the farthest in time.
        away = np.where(gap < apart, FORBIDDEN - gap, away)
        turn, best = self._turns[part], int(away.argmin())
        turn.age = min(turn.age + 1, FADE_FRAMES)
        if turn.chosen == NOWHERE or gap[turn.chosen] < apart:
            turn.chosen, turn.old, turn.age = best, NOWHERE, FADE_FRAMES
        elif turn.age == FADE_FRAMES and away[turn.chosen] > KEEP * away[best] + KEEP_BY:
            turn.chosen, turn.old, turn.age = best, turn.chosen, 1
        rows, fading = self._atlas.references[part], turn.age < FADE_FRAMES
        if fading and gap[turn.old] < apart:
            turn.age, fading = FADE_FRAMES, False
        return ChosenReference(rows[turn.chosen], turn.age / FADE_FRAMES, rows[turn.old] if fading else None)
