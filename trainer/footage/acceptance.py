"""What footage is accepted: its numbers, the reasons to refuse it, and advice for better footage."""

from collections.abc import Iterator
from dataclasses import dataclass

from engines.errors import UserError
from realtime.pose.blur_meter import ADVICE, LIMIT
from realtime.pose.normalization.motion_range import MotionRange
from trainer.footage.background import NO_MOTION, STILL, BackgroundMotion
from trainer.footage.coverage import LEAST_DEPTH, LEAST_REACH, Move
from trainer.footage.source import FootageSource

LEAST_S, GOOD_S = 3.0, 120.0
"""Seconds with the person: what training needs at least, and below which more is advised."""
LEAST_SOURCE_FPS, GOOD_SOURCE_FPS = 12.0, 23.5
LEAST_STATURE, GOOD_STATURE = 0.12, 0.35
"""Stature by the picture's height: below, only a silhouette is left; hands are a few pixels. (Whole bodies fill
0.75.)"""
OFTEN_SEEN = {"face": 0.4, "left hand": 0.6, "right hand": 0.6, "feet": 0.8}
"""Wanted share of the time with the person; turning hides faces and hands. Alice: 0.93, 0.72, 0.74, 0.98."""
LONGEST_FREEZE_S = 1.5
MOST_NEVER_SEEN = 0.02
"""Of what the person covers: more shows in the plate."""
LEAST_OVERLAY = 0.02
"""Share of the background; less is a leaf or a shadow."""
NEW = 0.04
"""`novelty` above which the held-out end is unlike what is trained on."""
LIVE_RANGE = "live, nobody can go where the footage never was."


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMetrics:
    """Measured over the pictures with the person. Shares are 0..1; a stature is nose to ankle along the bones."""

    stature: float
    """By the picture's height, the median."""
    parts: dict[str, float]
    """How often face, hands and feet are seen, of the time with the person."""
    longest_gap_s: float
    """Longest time without the person between two with."""
    inside: float
    """Share of the time in which the person is wholly inside of the crop."""
    within: float
    """Share of the time in which some of the person is inside of the crop."""
    cut: dict[str, float]
    """Share of the time in which the person is cut off at each side of the crop."""
    never_seen: float
    """Share of what the person covers in the mean that is always covered: the background behind it is not known."""
    light: float
    """Mean brightness of the picture."""
    dark: float
    bright: float
    """Shares of the person's box that are black and white."""
    flicker: float
    """Change of the background's brightness from picture to picture, by its mean."""
    drift: float
    """Between the 5 and the 95 % quantile of the background's brightness over seconds, by its mean."""
    motion: MotionRange | None
    """None where the feet are never seen."""
    moves: list[Move]
    novelty: float | None
    """How far the held-out poses are from the trained ones, in statures; None where there is nothing to compare."""

    @property
    def reach(self) -> float:
        """Statures that the hips go to either side; 0 where the feet are never seen."""
        motion = self.motion
        return 2 * motion.reach / (motion.near_stature + motion.far_stature) if motion else 0.0

    @property
    def depth(self) -> float:
        """Stature when nearest by stature when farthest; 1 where the feet are never seen."""
        return self.motion.near_stature / self.motion.far_stature if self.motion else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FootageReport:
    """What is known of footage before anything is made of it."""

    video: str
    length_s: float
    person_s: float
    source_px: tuple[int, int]
    """Width and height."""
    source_fps: float
    constant_rate: bool
    fps: float
    """Of the used pictures."""
    crop: tuple[int, int, int, int]
    """The used part: x, y, width, height in the source's pixels."""
    tight_crop: tuple[int, int, int, int] | None = None
    """The part that the person just fills; None where nobody was seen, or too small for any."""
    whole_size: tuple[int, int] | None = None
    """Another width and height, of pictures that hold the person more often; None where none does."""
    size_px: tuple[int, int]
    """Width and height of the network's pictures."""
    sharpness: float | None = None
    """How fine fast hands are by slow ones (`BlurMeter`); None where there were no fast hands."""
    crowded: float = 0.0
    """Share of the samples with several people."""
    cuts_s: tuple[float, ...] = ()
    """When other takes begin."""
    freeze: tuple[float, float] = (0.0, 0.0)
    """When the longest time begins in which nothing changes in the picture, and how long that is, in seconds."""
    background: BackgroundMotion = NO_MOTION
    person: PersonMetrics | None
    """None where nobody was found."""

    @property
    def static(self) -> bool:
        """The background stands still in the picture, so there is a plate of it."""
        return self.background.shift <= STILL

    @property
    def reasons(self) -> list[str]:
        """Why the footage cannot be used; empty where it can."""
        return list(self._reasons())

    @property
    def advice(self) -> list[str]:
        """Sentences about what to film better; empty where nothing is to say or nobody was found."""
        if self.person is None:
            return []
        return [
            *self._about_background(self.person),
            *self._about_person(self.person),
            *self._about_camera(self.person),
            *_about_moves(self.person),
        ]

    def _reasons(self) -> Iterator[str]:
        person = self.person
        if person is None:
            yield "nobody was found: film one person, whole body, in good light"
            return
        if self.person_s < LEAST_S:
            yield (
                f"the person is in it for {self.person_s:.1f} s: {LEAST_S:.0f} s are the least, {GOOD_S:.0f} s make a "
                "subject"
            )
        elif (within_s := self.person_s * person.within) < LEAST_S:
            yield (
                f"the person is in the used part, {','.join(map(str, self.crop))}, for {within_s:.1f} s of "
                f"{self.person_s:.1f} s: choose another --crop, or leave it out"
            )
        if person.novelty is None:
            yield "the person is missing from its last part, on which a training is measured: cut the end off"
        if person.motion is None:
            yield "the feet are never seen: film the whole body, head to toes"
        if person.stature < LEAST_STATURE:
            yield (
                f"the person is too small, {person.stature:.0%} of the height where {LEAST_STATURE:.0%} is the least: "
                f"come nearer{self._closer()}"
            )
        if self.source_fps < LEAST_SOURCE_FPS:
            yield f"it has {self.source_fps:.3g} pictures per second: film with 24 or more"

    def _about_background(self, person: PersonMetrics) -> Iterator[str]:
        if self.static and person.never_seen > MOST_NEVER_SEEN:
            yield (
                f"The background behind {person.never_seen:.0%} of the person is never seen, so the person stays there "
                "in the empty background: step wholly aside, at the beginning or the end, too."
            )

    def _about_person(self, person: PersonMetrics) -> Iterator[str]:
        if self.person_s < GOOD_S:
            yield f"The person is in it for {self.person_s:.0f} s: film {GOOD_S:.0f} s at least, 300 s is good."
        if LEAST_STATURE <= person.stature < GOOD_STATURE:
            yield f"The person is small, {person.stature:.0%} of the height: come nearer{self._closer()}."
        enlarged = self.size_px[1] / self.crop[3]
        if enlarged > 1.3:
            yield f"Every pixel is enlarged {enlarged:.1f} times: film with more pixels, or use a smaller --size."
        if person.inside < 0.97:
            cut = ", ".join(side for side, share in person.cut.items() if share > 0.25 * (1 - person.inside))
            what = "stay in the middle, stand farther away, or choose another --crop"
            if self.whole_size is not None:
                what = f"use --size {self.whole_size[0]}x{self.whole_size[1]}, which holds the person"
            yield f"The person leaves the used part in {1 - person.inside:.0%} of the time, at {cut}: {what}."
        hidden = [part for part, share in person.parts.items() if share < OFTEN_SEEN[part]]
        if hidden:
            yield (
                f"Often not seen: {', '.join(hidden)}. Keep the whole body in the picture, add light, wear sleeves of "
                "another colour than the skin."
            )
        if person.longest_gap_s > 0.5:
            yield f"The person is lost for {person.longest_gap_s:.1f} s in between: stay in the picture."

    def _about_camera(self, person: PersonMetrics) -> Iterator[str]:
        if self.sharpness is not None and self.sharpness < LIMIT:
            yield ADVICE
        if person.light < 0.2 or person.dark > 0.4:
            yield "It is dark: add light."
        if person.bright > 0.15:
            yield "It is too bright, white has no texture: expose less."
        if person.flicker > 0.01:
            yield "The light flickers: use lamps that do not, or an exposure of 1/50 s (1/60 s in America)."
        if person.drift > 0.1:
            yield "The brightness drifts: lock exposure and white balance."
        if self.crowded > 0.05:
            yield "Several people are in the picture: film one person alone."
        if self.cuts_s:
            first_s, count = self.cuts_s[0], len(self.cuts_s)
            yield f"There are {count} cuts or jumps, the first at {first_s:.1f} s: film in one go."
        if self.freeze[1] > LONGEST_FREEZE_S:
            yield f"The picture stands still for {self.freeze[1]:.1f} s from {self.freeze[0]:.1f} s on: cut that out."
        if self.static and self.background.overlay > LEAST_OVERLAY and person.never_seen <= MOST_NEVER_SEEN:
            yield (
                f"{self.background.overlay:.0%} of the background changes by itself, as captions, clocks and screens "
                "do: a smear of it stays in the empty background. Film without, or leave it out with --crop."
            )
        if not self.static:
            yield (
                "The camera moves: the background cannot be told from the person and is learnt with it, which looks "
                "worse. Put the camera on a tripod."
            )
        if self.source_fps < GOOD_SOURCE_FPS:
            yield "Few pictures per second make fast moves jump: film with 30 or more."

    def _closer(self) -> str:
        return f", or use --crop {','.join(map(str, self.tight_crop))}" if self.tight_crop else ""

    def facts(self) -> list[tuple[str, str]]:
        """The numbers as text: name and value."""
        width, height = self.source_px
        x, y, w, h = self.crop
        used = "all" if (w, h) == (width, height) else f"{w}x{h} from {x},{y}"
        rate = f"{self.source_fps:.4g}" + ("" if self.constant_rate else ", variable")
        gap = f", longest gap {self.person.longest_gap_s:.1f}" if self.person else ""
        return [
            ("Seconds", f"{self.length_s:.1f}, a person in {self.person_s:.1f}{gap}"),
            ("Pictures", f"{width}x{height} at {rate} fps, used at {self.fps:.4g}"),
            ("Used part", f"{used}, as {self.size_px[0]}x{self.size_px[1]}"),
            ("Camera", f"{'stands still' if self.static else 'moves'} ({self.background.shift:.2%} of the height)"),
            ("Overlays", f"{self.background.overlay:.0%} of the background changes by itself"),
            ("Cuts and jumps", f"{len(self.cuts_s)}, longest freeze {self.freeze[1]:.1f} s"),
            ("Several people", f"in {self.crowded:.0%} of the samples"),
            ("Fast hands", "none" if self.sharpness is None else f"{self.sharpness:.2f} as fine as slow ones"),
            *(_person_facts(self.person) if self.person else [("Person", "nobody")]),
        ]


def _person_facts(person: PersonMetrics) -> list[tuple[str, str]]:
    parts = ", ".join(f"{part} {share:.0%}" for part, share in person.parts.items())
    range_ = f"nearest {person.depth:.2f} times as tall as farthest, {person.reach:.2f} statures to either side"
    return [
        ("Person", f"{person.stature:.0%} of the height from nose to ankle, whole in {person.inside:.0%} of the time"),
        ("Seen", parts),
        ("Background", f"never seen behind {person.never_seen:.0%} of the person"),
        ("Light", f"{person.light:.0%}, black {person.dark:.0%}, white {person.bright:.0%}"),
        ("Changes of light", f"flicker {person.flicker:.1%}, drift {person.drift:.1%}"),
        ("Depth and side", range_ if person.motion else "not seen"),
        ("New at the end", "not known" if person.novelty is None else f"{person.novelty:.1%} of the stature"),
    ]


def check_length(source: FootageSource) -> None:
    """Tell of footage that is too short before any of it is looked at.

    Raises:
        UserError: it has fewer seconds than the person has to be in it.
    """
    if 0 < source.length_s < LEAST_S:
        raise UserError(
            f"{source.path} cannot be used: it is {source.length_s:.2f} s long, {LEAST_S:.0f} s are the least, "
            f"{GOOD_S:.0f} s make a subject."
        )


def _about_moves(person: PersonMetrics) -> Iterator[str]:
    """Moves and places of which there is too little."""
    wanted: dict[str, list[str]] = {}
    for move in person.moves:
        if move.missing_s >= 1:
            wanted.setdefault(move.advice, []).append(f"{move.missing_s:.0f} s {move.name}")
    for advice, missing in wanted.items():
        yield f"{advice}: {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing."
    if person.motion is not None and person.depth < LEAST_DEPTH:
        yield f"Step nearer and farther: {LIVE_RANGE}"
    if person.motion is not None and person.reach < LEAST_REACH:
        yield f"Step to the left and right: {LIVE_RANGE}"
    if person.novelty is not None and person.novelty > NEW:
        yield "The moves at the end are unlike those before: film longer, and do everything several times."
