"""What footage is worth, before any training: figures, plain advice, and the reasons why some cannot be used."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.pose.blur_meter import ADVICE, LIMIT
from realtime.pose.measure import stature_px
from realtime.pose.normalization.motion_range import MotionRange, measure_range, observe
from realtime.pose.pose import Pose
from realtime.pose.quality import longest_gap_s
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from trainer.footage.camera_motion import STILL
from trainer.footage.coverage import LEAST_DEPTH, LEAST_REACH, Move, covered, novelty
from trainer.footage.crop import Crop, extent
from trainer.footage.scan import FrameStats

NOBODY_S, LEAST_S, GOOD_S = 0.25, 3.0, 120.0
"""Of the person: less is nobody, nothing can be learnt from, is little."""
LEAST_FPS, GOOD_FPS = 12.0, 23.5
SMALL, LEAST_STATURE = 0.35, 0.12
"""Stature by the picture's height: hands are a few pixels; nothing but a shape is left. (Full bodies fill 0.75.)"""
PARTS = ("face", "left hand", "right hand", "feet")
OFTEN_SEEN = {"face": 0.4, "left hand": 0.6, "right hand": 0.6, "feet": 0.8}
"""Of the time with the person; faces and hands are hidden while one turns. Alice: 0.93, 0.72, 0.74, 0.98."""
NEW = 0.04
"""`novelty` from which the footage's own end is unlike what came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What was seen, picture by picture, at the rate that is trained on. N pictures."""

    poses: list[Pose | None]
    """As they will be drawn, in the crop's pixels."""
    seen: NDArray[np.bool_]
    """N: somebody was."""
    parts: NDArray[np.bool_]
    """N 4: each of `PARTS` was."""
    frame_stats: NDArray[np.float64]
    """N 5: `FrameStats`s."""
    breaks: NDArray[np.intp]
    """Numbers of the pictures that begin another take."""
    fps: float


class FootageReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said about footage. Shares are 0..1; a stature is nose to ankle along the bones."""

    video: str
    length_s: float
    person_s: float
    source_px: tuple[int, int]
    source_fps: float
    constant_rate: bool
    fps: float
    crop: tuple[int, int, int, int]
    """x, y, width, height in the source's pixels."""
    size_px: tuple[int, int]
    stature: float | None = None
    """By the picture's height, the median; None where nobody was seen."""
    parts: dict[str, float] = {}
    """How often each part is seen, of the time with the person."""
    longest_gap_s: float = 0.0
    inside: float = 1.0
    """Part of the time in which the person is wholly inside of the crop's sides."""
    sharpness: float | None = None
    """How fine fast hands are by slow ones (`BlurMeter`); None when there were no fast hands."""
    light: float = 0.0
    dark: float = 0.0
    bright: float = 0.0
    """Mean brightness; parts of the person's surroundings that are black and white."""
    flicker: float = 0.0
    drift: float = 0.0
    """Change of the room's brightness from picture to picture, and between its 5 and 95 % quantile over seconds."""
    crowded: float = 0.0
    """Part of the looks with several people."""
    cuts_s: list[float] = []
    room_shift: float = 0.0
    """How far the room moves in the picture, by its height."""
    motion: MotionRange | None = None
    """None where the feet are never seen."""
    moves: list[Move] = []
    novelty: float | None = None
    advice: list[str] = []
    reasons: list[str] = []
    """Why it cannot be used; empty where it can."""

    @property
    def static(self) -> bool:
        """The room stands still in the picture, so there is a plate of it."""
        return self.room_shift <= STILL

    def facts(self) -> list[tuple[str, str]]:
        """The figures for people."""
        width, height = self.source_px
        x, y, w, h = self.crop
        whole = (w, h) == (width, height)
        rate = f"{self.source_fps:.4g}" + ("" if self.constant_rate else ", variable")
        parts = ", ".join(f"{part} {share:.0%}" for part, share in self.parts.items())
        depth = self.motion and self.motion.near_stature / self.motion.far_stature
        return [
            ("Seconds", f"{self.length_s:.1f}, a person in {self.person_s:.1f}, longest gap {self.longest_gap_s:.1f}"),
            ("Pictures", f"{width}x{height} at {rate} fps, used at {self.fps:.4g}"),
            ("Used part", f"{'all' if whole else f'{w}x{h} from {x},{y}'}, as {self.size_px[0]}x{self.size_px[1]}"),
            ("Person", "nobody" if self.stature is None else f"{self.stature:.0%} of the height from nose to ankle"),
            ("Seen", parts or "nothing"),
            ("Fast hands", "none" if self.sharpness is None else f"{self.sharpness:.2f} as fine as slow ones"),
            ("Light", f"{self.light:.0%}, black {self.dark:.0%}, white {self.bright:.0%}"),
            ("Changes of light", f"flicker {self.flicker:.1%}, drift {self.drift:.1%}"),
            ("Camera", f"{'stands still' if self.static else 'moves'} ({self.room_shift:.2%} of the height)"),
            ("Cuts and jumps", f"{len(self.cuts_s)}"),
            ("Several people", f"in {self.crowded:.0%} of the looks"),
            ("Depth and side", "not seen" if self.motion is None or depth is None or self.stature is None else
             f"nearest {depth:.2f} times as tall as farthest, {_reach(self.motion):.2f} statures to either side"),
            ("New at the end", "not known" if self.novelty is None else f"{self.novelty:.1%} of the stature"),
        ]  # fmt: skip


def complete_report(report: FootageReport, track: Track, learnt: int, tight: Crop | None) -> FootageReport:
    """Complete a report.

    Args:
        report: with what is known of the file.
        track: what was seen.
        learnt: the first so many pictures are trained on.
        tight: the crop that the person would fill; None where nobody was seen.
    """
    people = [pose for pose in track.poses if pose is not None]
    if not people or report.person_s < NOBODY_S:
        return msgspec.structs.replace(report, reasons=["nobody was found: film one person, whole body, in good light"])
    width, height = report.size_px
    stands = [stand for pose in track.poses[:learnt] if pose and (stand := observe(pose))]
    sides = np.stack([extent(pose, margin=0)[[0, 2]] for pose in people])
    light, _, dark, bright, _ = np.nanmean(track.frame_stats[track.seen], axis=0)
    flicker, drift = _unsteadiness(track.frame_stats[:, FrameStats._fields.index("room")], track.fps)
    full = msgspec.structs.replace(
        report,
        stature=float(np.median([stature_px(pose) for pose in people])) / height,
        parts={part: float(share) for part, share in zip(PARTS, track.parts[track.seen].mean(axis=0), strict=True)},
        longest_gap_s=longest_gap_s(track.seen, track.fps, ends=False),
        inside=float(((sides[:, 0] >= 0) & (sides[:, 1] <= width)).mean()),
        light=float(light),
        dark=float(dark),
        bright=float(bright),
        flicker=flicker,
        drift=drift,
        cuts_s=[round(float(number) / track.fps, 1) for number in track.breaks],
        motion=measure_range(stands) if stands else None,
        moves=covered(people, track.fps),
        novelty=novelty(
            [pose for pose in track.poses[:learnt] if pose], [pose for pose in track.poses[learnt:] if pose], track.fps
        ),
    )
    return msgspec.structs.replace(full, advice=_advice(full, tight), reasons=_reasons(full, tight))


def seen_parts(pose: Pose | None) -> list[bool]:
    """Which of `PARTS` are seen."""
    if pose is None:
        return [False] * len(PARTS)
    sure = pose.confidence
    feet = min(sure[INDEX["left_ankle"]], sure[INDEX["right_ankle"]]) >= 0.5
    return [sure[FACE.start] > 0, sure[LEFT_HAND.start] > 0, sure[RIGHT_HAND.start] > 0, bool(feet)]


def _unsteadiness(room: NDArray[np.float64], fps: float) -> tuple[float, float]:
    """Mean change of the room's brightness between pictures and its range over seconds, both by its mean."""
    known = room[np.isfinite(room)]
    second = max(1, round(fps))
    if len(known) < 2 * second or not known.mean():
        return 0.0, 0.0
    # Second differences: a person who passes a lamp changes the room slowly, a lamp that flickers in every picture.
    flicker = float(np.median(np.abs(np.diff(known, 2)))) / 2 / float(known.mean())
    smooth = known[: len(known) // second * second].reshape(-1, second).mean(axis=1)
    return flicker, float(np.ptp(np.quantile(smooth, (0.05, 0.95)))) / float(known.mean())


def _reach(motion: MotionRange) -> float:
    return motion.reach / (0.5 * (motion.near_stature + motion.far_stature))


def _reasons(report: FootageReport, tight: Crop | None) -> list[str]:
    small = report.stature is not None and report.stature < LEAST_STATURE
    return [
        reason
        for reason, holds in {
            f"the person is in it for {report.person_s:.1f} s: {LEAST_S:.0f} s are the least, {GOOD_S:.0f} s make a "
            "subject": report.person_s < LEAST_S,
            "the feet are never seen: film the whole body, head to toes": report.motion is None,
            f"the person is too small, {report.stature or 0:.0%} of the height where {LEAST_STATURE:.0%} is the least: "
            f"come nearer{_closer(tight)}": small,
            f"it has {report.source_fps:.3g} pictures per second: film with 24 or more": report.source_fps < LEAST_FPS,
        }.items()
        if holds
    ]  # fmt: skip


def _advice(report: FootageReport, tight: Crop | None) -> list[str]:
    hidden = [part for part, share in report.parts.items() if share < OFTEN_SEEN[part]]
    small = report.stature is not None and LEAST_STATURE <= report.stature < SMALL
    enlarged = report.size_px[1] / report.crop[3]
    said = {
        f"The person is in it for {report.person_s:.0f} s: film {GOOD_S:.0f} s at least, 300 s is good.":
            report.person_s < GOOD_S,
        f"The person is small, {report.stature or 0:.0%} of the height: come nearer{_closer(tight)}.": small,
        f"Every pixel is enlarged {enlarged:.1f} times: film with more pixels, or use a smaller --size.":
            enlarged > 1.3,
        f"The person leaves the used part in {1 - report.inside:.0%} of the time: stay in the middle, choose a --crop, "
        "or a wider --size, e.g. 1024x512.": report.inside < 0.97,
        f"Often not seen: {', '.join(hidden)}. Keep the whole body in the picture, add light, wear sleeves of another "
        "colour than the skin.": bool(hidden),
        f"The person is lost for {report.longest_gap_s:.1f} s in between: stay in the picture.":
            report.longest_gap_s > 0.5,
        ADVICE: report.sharpness is not None and report.sharpness < LIMIT,
        "It is dark: add light.": report.light < 0.2 or report.dark > 0.4,
        "It is too bright, white has no texture: expose less.": report.bright > 0.15,
        "The light flickers: use lamps that do not, or an exposure of 1/50 s (1/60 s in America).":
            report.flicker > 0.01,
        "The brightness drifts: lock exposure and white balance.": report.drift > 0.1,
        "Several people are in the picture: film one person alone.": report.crowded > 0.05,
        f"There are {len(report.cuts_s)} cuts or jumps, the first at {(report.cuts_s or [0])[0]:.1f} s: film in one "
        "go.": bool(report.cuts_s),
        "The camera moves: the room cannot be told from the person and is learnt with her, which looks worse. Put the "
        "camera on a tripod.": not report.static,
        "Few pictures per second make fast moves jump: film with 30 or more.": report.source_fps < GOOD_FPS,
    }  # fmt: skip
    return [sentence for sentence, holds in said.items() if holds] + _missing(report)


def _missing(report: FootageReport) -> list[str]:
    """What should be danced more."""
    wanted: dict[str, list[str]] = {}
    for move in report.moves:
        if move.missing_s >= 1:
            wanted.setdefault(move.advice, []).append(f"{move.missing_s:.0f} s {move.name}")
    said = [f"{advice}: {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing."
            for advice, missing in wanted.items()]  # fmt: skip
    motion = report.motion
    if motion is not None and motion.near_stature < LEAST_DEPTH * motion.far_stature:
        said.append("Step nearer and farther: live, nobody can go where the footage never was.")
    if motion is not None and _reach(motion) < LEAST_REACH:
        said.append("Step to the left and right: live, nobody can go where the footage never was.")
    if report.novelty is not None and report.novelty > NEW:
        said.append("The moves at the end are unlike those before: film longer, and do everything several times.")
    return said


def _closer(tight: Crop | None) -> str:
    return f", or use --crop {','.join(map(str, tight.box))}" if tight else ""


def reason(report: FootageReport) -> str:
    """Why it cannot be used, in one sentence."""
    return "; ".join(report.reasons)
