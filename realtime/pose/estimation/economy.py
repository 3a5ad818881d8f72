"""What the estimation of poses leaves out to be cheaper, while a session goes on."""

from dataclasses import dataclass

LOOK_EVERY = 3
"""Pictures from one look of MediaPipe's network for the body to the next, where refiners follow in between and it need
not look at every one. Each hand is looked at once in twice so many, in none of the body's pictures if that takes turns,
too."""


@dataclass(frozen=True, kw_only=True)
class Economy:
    """How often the networks of an estimator look, and how exactly; by default always and as the config says."""

    fast_body: bool = False
    """The body's network computes in bf16."""
    body_every: int = 1
    """The body is looked at once in so many pictures where a refiner follows it in between, otherwise always."""
    hands_every: int = 1
    """Each hand is looked at once in so many pictures, the two in turns; it goes along with its arm meanwhile. Where
    refiners follow hands in every picture any number but 1 lets their large network look at each in every sixth."""
    face_every: int = 1
    """The face is looked at once in so many pictures; it goes along with the head meanwhile."""
