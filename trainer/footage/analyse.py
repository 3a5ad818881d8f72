"""From a scan of footage to the report about it and the track of poses that training gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import middle, stature_px
from realtime.pose.normalization.motion_range import measure_range, observe
from realtime.pose.pose import Pose
from realtime.pose.quality import longest_gap_s
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from realtime.pose.track import PoseTrack
from trainer.footage.acceptance import FootageReport, PersonMetrics
from trainer.footage.background import BackgroundMotion, background_motion, never_seen
from trainer.footage.coverage import covered, novelty
from trainer.footage.crop import HOLDS_LESS, Crop, best_crop, cut_off, default_size, outline, tight_crop, within
from trainer.footage.scan import FootageScan, FrameStats
from trainer.footage.source import Timing

VISIBLE_PARTS = ("face", "left hand", "right hand", "feet")
"""Parts of the body whose visibility is reported."""
SIDES = ("left", "top (head)", "right", "bottom (feet)")
"""Of the used part, as people know them."""
LEAST_PERSON_S = 0.25
"""Seconds in which somebody was seen below which it was nobody."""
CUT = 0.12
"""Mean difference of two successive pictures, 0..1, from which they are of two takes; a dancer makes 0.03."""
FROZEN = 2e-5
"""Mean difference of two successive pictures, 0..1, up to which they are the same: noise and breath make 30 times
more."""
LEAP = 0.4
"""Statures from picture to picture that nobody's hips move."""

Stills = list[tuple[int, Rgb]]
"""Numbers of used pictures, and small copies of these pictures, uncropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The person in the N used pictures."""

    poses: list[Pose | None]
    """Stabilized, in the crop's pixels."""
    seen: NDArray[np.bool_]
    """N: the estimator found the person."""
    parts: NDArray[np.bool_]
    """N 4: it found each of `VISIBLE_PARTS`."""
    frame_stats: NDArray[np.float64]
    """N 5: `FrameStats`."""
    breaks: NDArray[np.intp]
    """Numbers of the pictures that begin another take."""
    fps: float


def analyse_footage(
    name: str,
    scanned: FootageScan,
    timing: Timing,
    learnt: int,
    *,
    size_px: tuple[int, int] | None,
    box: tuple[int, int, int, int] | None,
) -> tuple[FootageReport, Track, Stills]:
    """Measure footage.

    Args:
        name: of the footage, for the report.
        scanned: what was seen in it.
        timing: which of its pictures are used.
        learnt: the first so many used pictures are trained on.
        size_px: width and height of the network's pictures; None takes those that hold the person.
        box: x, y, width, height of the part that the user chose; None takes the largest that holds the person.

    Raises:
        UserError: the chosen part is not inside of the pictures or has another aspect ratio.
    """
    new_takes = cuts(scanned.frame_stats[:, FrameStats._fields.index("change")])
    poses, seen, parts = _stabilized(scanned, timing, new_takes)
    people = [pose for pose in poses if pose is not None]
    crop = _choose_crop(box, people, scanned.size_px, size_px)
    whole_size = default_size(people, scanned.size_px)
    gain = best_crop(people, scanned.size_px, whole_size).holds(people, scanned.size_px) if people else 0.0
    gain -= crop.holds(people, scanned.size_px) if people else 0.0
    breaks = np.union1d(np.searchsorted(timing.picked, new_takes), leaps(poses))
    track = Track(
        poses=[crop.pose(pose) if pose else None for pose in poses],
        seen=seen,
        parts=parts,
        frame_stats=scanned.frame_stats[timing.picked],
        breaks=_first_of(breaks, round(timing.fps / 2)),
        fps=timing.fps,
    )
    stills = [(int(np.searchsorted(timing.picked, number)), still) for number, still in scanned.stills()]
    stills = [(number, still) for number, still in stills if number < len(poses)]
    person_s = int(seen.sum()) / timing.fps
    tight = tight_crop(people, scanned.size_px, crop.size_px) if people else None
    report = FootageReport(
        video=name,
        length_s=len(poses) / timing.fps,
        person_s=person_s,
        source_px=scanned.size_px,
        source_fps=timing.source_fps,
        constant_rate=timing.constant,
        fps=timing.fps,
        crop=crop.box,
        tight_crop=tight.box if tight else None,
        whole_size=whole_size if gain > HOLDS_LESS else None,
        size_px=crop.size_px,
        sharpness=scanned.sharpness,
        crowded=scanned.crowded,
        cuts_s=tuple(round(float(number) / track.fps, 1) for number in track.breaks),
        freeze=freeze(scanned.frame_stats[:, FrameStats._fields.index("change")], scanned.times_s),
        background=_background_motion(stills, poses, scanned.size_px[1]),
        person=measure_person(track, learnt, crop.size_px) if person_s >= LEAST_PERSON_S else None,
    )
    return report, track, stills


def measure_person(track: Track, learnt: int, size_px: tuple[int, int]) -> PersonMetrics:
    """Measure a track with somebody in it; the first `learnt` of its pictures, of `size_px`, are trained on."""
    width, height = size_px
    people = [pose for pose in track.poses if pose is not None]
    stands = [stand for pose in track.poses[:learnt] if pose and (stand := observe(pose))]
    boxes = np.stack([outline(pose) for pose in people])
    cut = cut_off(boxes, (0, 0, width, height))
    seen = FrameStats(*np.nanmean(track.frame_stats[track.seen], axis=0).tolist())
    flicker, drift = _unsteadiness(track.frame_stats[:, FrameStats._fields.index("background")], track.fps)
    return PersonMetrics(
        stature=float(np.median([stature_px(pose) for pose in people])) / height,
        parts=dict(zip(VISIBLE_PARTS, track.parts[track.seen].mean(axis=0).tolist(), strict=True)),
        longest_gap_s=longest_gap_s(track.seen, track.fps, ends=False),
        inside=float((~cut).all(axis=1).mean()),
        within=float(within(boxes, size_px).mean()),
        cut=dict(zip(SIDES, cut.mean(axis=0).tolist(), strict=True)),
        never_seen=never_seen(track.poses[: max(1, learnt)], (height, width)),
        light=seen.light,
        dark=seen.dark,
        bright=seen.bright,
        flicker=flicker,
        drift=drift,
        motion=measure_range(stands) if stands else None,
        moves=covered(people, track.fps),
        novelty=novelty(
            [pose for pose in track.poses[:learnt] if pose], [pose for pose in track.poses[learnt:] if pose], track.fps
        ),
    )


def seen_parts(pose: Pose | None) -> list[bool]:
    """Which of `VISIBLE_PARTS` an estimated pose has."""
    if pose is None:
        return [False] * len(VISIBLE_PARTS)
    sure = pose.confidence
    feet = min(sure[INDEX["left_ankle"]], sure[INDEX["right_ankle"]]) >= 0.5
    return [sure[FACE.start] > 0, sure[LEFT_HAND.start] > 0, sure[RIGHT_HAND.start] > 0, bool(feet)]


def cuts(changes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the pictures that begin another take, from the mean differences to the picture before (0..1)."""
    usual = float(np.nanmedian(changes)) if np.isfinite(changes).any() else 0.0
    return np.flatnonzero(np.nan_to_num(changes) > max(CUT, 4 * usual))


def leaps(poses: Sequence[Pose | None]) -> NDArray[np.intp]:
    """Numbers of the poses that no body can reach from the one before: another person, or a cut in the same scene."""
    found = []
    for number, (past, pose) in enumerate(pairwise(poses), 1):
        if past is not None and pose is not None:
            moved = np.hypot(*(middle(pose, "hip") - middle(past, "hip")))
            if moved > LEAP * stature_px(pose):
                found.append(number)
    return np.array(found, np.intp)


def _stabilized(
    scanned: FootageScan, timing: Timing, new_takes: NDArray[np.intp]
) -> tuple[list[Pose | None], NDArray[np.bool_], NDArray[np.bool_]]:
    """`Track.poses` in the source's pixels, `Track.seen` and `Track.parts`; every take is stabilized by itself."""
    counts = np.bincount(timing.picked, minlength=len(scanned.times_s)).tolist()
    following, again = PoseTrack(), set(new_takes.tolist())
    poses, seen, parts = list[Pose | None](), list[bool](), list[list[bool]]()
    for number, (estimated, at_s) in enumerate(zip(scanned.poses(), scanned.times_s.tolist(), strict=True)):
        if number in again:
            following.reset()
        pose = following.step_seen(estimated, at_s).pose
        poses += [pose] * counts[number]
        seen += [estimated is not None] * counts[number]
        parts += [seen_parts(estimated)] * counts[number]
    return poses, np.array(seen), np.array(parts)


def _choose_crop(
    box: tuple[int, int, int, int] | None,
    people: Sequence[Pose],
    whole: tuple[int, int],
    size_px: tuple[int, int] | None,
) -> Crop:
    if box is not None:
        return Crop.chosen(box, whole, size_px)
    size_px = size_px or default_size(people, whole)
    return best_crop(people, whole, size_px) if people else Crop.at(whole, size_px, (whole[0] / 2, whole[1] / 2))


def _background_motion(stills: Stills, poses: Sequence[Pose | None], height_px: int) -> BackgroundMotion:
    """`background_motion` of the stills, made of pictures of this height, in whose pixels the poses are."""
    pictures, small = list[Rgb](), list[Pose | None]()
    for number, still in stills:
        if pictures and np.array_equal(still, pictures[-1]):
            continue  # a picture that stands still would count many times
        pose, k = poses[number], np.float32(len(still) / height_px)
        pictures.append(still)
        small.append(pose and Pose(k * pose.xy, k * pose.depth, pose.confidence))
    return background_motion(pictures, small)


def freeze(changes: NDArray[np.float64], times_s: NDArray[np.float64]) -> tuple[float, float]:
    """When the longest time begins in which the picture does not change at all, and how long that is, in seconds.

    Args:
        changes: N, the mean difference of each picture to the one before, 0..1.
        times_s: N, when they are shown.
    """
    longest, begin = (0.0, 0.0), 0
    for number in range(1, len(times_s)):
        if not changes[number] <= FROZEN:
            begin = number
        length_s = float(times_s[number] - times_s[begin])
        if length_s > longest[1]:
            longest = float(times_s[begin]), length_s
    return longest


def _first_of(numbers: NDArray[np.intp], apart: int) -> NDArray[np.intp]:
    """The first of numbers that are near each other."""
    return numbers[np.diff(numbers, prepend=-apart - 1) > apart]


def _unsteadiness(background: NDArray[np.float64], fps: float) -> tuple[float, float]:
    """Flicker and drift of the background's brightness, see `PersonMetrics`; 0 where less than 2 s are known."""
    known = background[np.isfinite(background)]
    second = max(1, round(fps))
    if len(known) < 2 * second or not known.mean():
        return 0.0, 0.0
    # Second differences: a person who passes a lamp changes the background slowly, a flickering lamp in every picture.
    flicker = float(np.median(np.abs(np.diff(known, 2)))) / 2 / float(known.mean())
    smooth = known[: len(known) // second * second].reshape(-1, second).mean(axis=1)
    return flicker, float(np.ptp(np.quantile(smooth, (0.05, 0.95)))) / float(known.mean())
