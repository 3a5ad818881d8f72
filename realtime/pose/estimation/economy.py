"""What the estimation of poses leaves out to be cheaper, while a session goes on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Economy:
    """How often the networks of an estimator look, and how exactly; by default always and as the config says."""

    fast_body: bool = False
    """The body's network computes in bf16."""
    hands_every: int = 1
    """Each hand is looked at once in so many pictures, the two in turns; it goes along with its arm meanwhile. Refiners
    follow body and hands in every picture: there any number but 1 lets the large networks of both take turns."""
    face_every: int = 1
    """The face is looked at once in so many pictures; it goes along with the head meanwhile."""
