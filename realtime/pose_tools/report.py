"""The report of `realtime pose` about a track: metrics and advice, for people, as JSON, and as an HTML page."""

from collections.abc import Sequence
from html import escape

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.console import counted
from engines.errors import UserError
from realtime.frame import Rgb
from realtime.html import STRIP_PX, WIDTH_PX, document, image, strips
from realtime.pose.blur_meter import ADVICE, LIMIT
from realtime.pose.pose import Floats, Pose
from realtime.pose.quality import FINGERTIPS, JOINTS, Truth, jitter_px, joint_track, lag_s, longest_gap_s, statures_px
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, RIGHT_HAND

PART_KEYPOINTS = {"left hand": LEFT_HAND.start, "right hand": RIGHT_HAND.start, "face": FACE.start}
"""A keypoint of each part: all of them have the same confidence."""
PLOT_PX = 160
CLOSE_UP_S = 4.0
COLORS = {"raw": "#8a8a94", "smooth": "#4dd2ff", "truth": "#ffd24d"}


class TruthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of a track against the exact joints, where they are visible. Percents are of the stature."""

    rate: float
    """Frames in which the person is found, of those with the person in them."""
    error_percent: float
    """Mean distance of the joints."""
    scatter_percent: float
    """What is left of it once every joint's own constant offset is taken off."""
    error_fast_percent: float
    """The same where a joint is faster than a stature per second."""
    jitter_percent: float
    jitter_still_percent: float
    """Where a joint is slower than a tenth of a stature per second."""
    lag_ms: float
    hands_rate: float | None
    """Frames in which a hand is found, of those in which most of its fingertips are visible; None without a truth."""
    fingertips_percent: float | None
    """Mean distance of the fingertips of the hands that are found."""


class PoseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime pose` prints. Rates and confidences are 0..1.

    Where nobody was seen, or in too few frames in a row to measure jitter, there are no more figures than how often.
    """

    video: str
    frames: int
    fps: float
    seen: int
    """Frames with a person."""
    rate: float
    """The same, of all frames."""
    parts: dict[str, float]
    """Frames with each hand and the face, of those with a person."""
    confidence: float | None
    """Mean of the body's keypoints."""
    coverage: float | None
    """Share of the body's joints that are surely seen while the person is."""
    height_px: tuple[float, float] | None
    """5 and 95 % quantile of the stature in pixels."""
    jitter_px: dict[str, float]
    """Mean distance of the joints from their own smooth path: raw and smooth."""
    jitter_percent: dict[str, float]
    """The same in percent of the stature."""
    longest_gap_s: float
    """The longest time without a person, at the ends of the video, too."""
    sharpness: float | None
    """Fineness at fast hands as a share of that at slow ones (`BlurMeter`); None when there were too few."""
    warnings: list[str]
    truth: dict[str, TruthReport] | None = None

    def lines(self) -> list[str]:
        """The report for people."""
        frames = f"{self.video}: {counted(self.frames, 'frame')} at {self.fps:.4g} fps"
        rates = ", ".join([f"{self.rate:.1%}", *(f"{part} {rate:.1%}" for part, rate in self.parts.items())])
        return [
            f"{frames}, a person in {self.seen} of them ({rates}).",
            f"Longest gap without a person {self.longest_gap_s:.2f} s. " + (
                f"Mean confidence {self.confidence:.2f}, joints surely seen {self.coverage:.1%}."
                if self.confidence is not None and self.coverage is not None
                else "Too few frames for more figures." if self.seen else "Nobody was seen."),
            *(f"Jitter {name}: {px:.2f} px, {self.jitter_percent[name]:.3f} % of the stature."
              for name, px in self.jitter_px.items()),
            *(f"Against the truth, {name}: found in {each.rate:.2%}, error {each.error_percent:.2f} % of the stature "
              f"(without offsets {each.scatter_percent:.2f}, fast {each.error_fast_percent:.2f}), "
              f"jitter {each.jitter_percent:.3f} % "
              f"(at rest {each.jitter_still_percent:.3f}), lag {each.lag_ms:.0f} ms." + (
                  "" if each.hands_rate is None else
                  f" Hands found in {each.hands_rate:.1%}, fingertips {each.fingertips_percent:.2f} % away.")
              for name, each in (self.truth or {}).items()),
            *(f"! {warning}" for warning in self.warnings),
        ]  # fmt: skip


def report_track(
    video: str, raw: Sequence[Pose | None], smooth: Sequence[Pose | None], fps: float, sharpness: float | None
) -> PoseReport:
    """The report about a track, as seen and as smoothed, in every frame of a video of `fps`."""
    people = [pose for pose in raw if pose is not None]
    seen = np.array([pose is not None for pose in raw])
    report = PoseReport(
        video=video,
        frames=len(raw),
        fps=round(fps, 3),
        seen=len(people),
        rate=_round(seen.mean()),
        parts={},
        confidence=None,
        coverage=None,
        height_px=None,
        jitter_px={},
        jitter_percent={},
        longest_gap_s=_round(longest_gap_s(seen, fps)),
        sharpness=sharpness,
        warnings=[],
    )
    away = {name: jitter_px(joint_track(poses), fps) for name, poses in (("raw", raw), ("smooth", smooth))}
    if np.isfinite(away["raw"]).any():
        confidences, tall_px = np.stack([pose.confidence for pose in people]), statures_px(raw)
        report = msgspec.structs.replace(
            report,
            parts={part: _round((confidences[:, i] > 0).mean()) for part, i in PART_KEYPOINTS.items()},
            confidence=_round(confidences[:, BODY].mean()),
            coverage=_round(np.isfinite(joint_track(people)[..., 0]).mean()),
            height_px=(_round(np.quantile(tall_px, 0.05)), _round(np.quantile(tall_px, 0.95))),
            jitter_px={name: _mean(each) for name, each in away.items()},
            jitter_percent={name: _mean(100 * each / tall_px[:, None]) for name, each in away.items()},
        )
    return msgspec.structs.replace(report, warnings=_warnings(report, people))


def compare_with_truth(truth: Truth, poses: Sequence[Pose | None], fps: float) -> TruthReport:
    """The report about a track against the exact joints of the same frames.

    Raises:
        UserError: the two never meet.
    """
    xy = np.where(truth.visible[..., None], joint_track(poses, truth.names, least_confidence=0.01), np.float32(np.nan))
    found = np.array([pose is not None for pose in poses])[truth.present]
    if not np.isfinite(xy).any():
        raise UserError("The person is never seen where the truth has them: is it the truth of this video?")
    tall_px = statures_px(poses)[:, None]
    offset = xy - truth.xy
    error, away = np.linalg.norm(offset, axis=2) / tall_px, jitter_px(offset, fps) / tall_px
    constant = _column_medians(offset)
    hands_rate, fingertips_percent = _hands(truth, poses, tall_px)
    speed = np.linalg.norm(np.gradient(truth.xy, axis=0), axis=2) * np.float32(fps) / tall_px
    return TruthReport(
        rate=_round(found.mean()) if len(found) else 0,
        error_percent=_mean(100 * error),
        scatter_percent=_mean(100 * np.linalg.norm(offset - constant, axis=2) / tall_px),
        error_fast_percent=_mean(100 * error[speed > 1]),
        jitter_percent=_mean(100 * away),
        jitter_still_percent=_mean(100 * away[speed < 0.1]),
        lag_ms=round(1000 * lag_s(xy, truth.xy, fps)),
        hands_rate=hands_rate,
        fingertips_percent=fingertips_percent,
    )


def _column_medians(offset: Floats) -> Floats:
    """F J 2 to J 2; zero for a joint that is never seen."""
    seen = np.isfinite(offset[..., 0]).sum(axis=0) > 0
    medians = np.zeros(offset.shape[1:], np.float32)
    medians[seen] = np.nanmedian(offset[:, seen], axis=0)
    return medians


def _hands(truth: Truth, poses: Sequence[Pose | None], tall_px: Floats) -> tuple[float | None, float | None]:
    """`hands_rate` and `fingertips_percent`."""
    found = joint_track(poses, FINGERTIPS)
    if not truth.tips_visible.size:
        return None, None
    away = np.linalg.norm(found - truth.tips_xy, axis=2) / tall_px
    of_hand = len(FINGERTIPS) // 2
    visible = truth.tips_visible.reshape(len(poses), 2, of_hand).mean(axis=2) > 0.5
    seen = np.isfinite(found[:, ::of_hand, 0])  # all points of a hand have one confidence
    if not visible.any():
        return None, None
    shown = np.repeat(visible & seen, of_hand, axis=1)
    return _round(seen[visible].mean()), _mean(100 * away[shown])


def _warnings(report: PoseReport, people: Sequence[Pose]) -> list[str]:
    if not people:
        return ["Nobody was seen: film one person, head to toes, in good light."]
    if not report.parts:
        return ["The person is in too few frames in a row to say how well they are seen: take more of the video."]
    hands = min(report.parts["left hand"], report.parts["right hand"])
    feet = np.mean([pose.confidence[[INDEX["left_ankle"], INDEX["right_ankle"]]].min() >= 0.5 for pose in people])
    small = report.height_px is not None and report.height_px[0] < 150
    said = {
        "The person is not found for a while: keep them in the picture from start to end and the light even.":
            report.longest_gap_s > 0.5,
        "Hands are often not seen: come nearer, add light, wear sleeves in another colour than the skin.": hands < 0.7,
        "Feet are often not seen: step back until the whole body is in the picture.": feet < 0.8,
        "The person is small in the picture, hands and face are uncertain: come nearer, or use more pixels.": small,
        "Few frames per second make fast moves jump: film with 30 or more.": report.fps < 23.5,
        ADVICE: report.sharpness is not None and report.sharpness < LIMIT,
    }  # fmt: skip
    return [sentence for sentence, holds in said.items() if holds]


def _round(value: float | np.floating) -> float:
    return round(float(value), 4)


def _mean(values: Floats | NDArray[np.floating]) -> float:
    values = values[np.isfinite(values)]
    return round(float(values.mean()), 4) if len(values) else 0.0


def page(
    report: PoseReport,
    raw: Sequence[Pose | None],
    smooth: Sequence[Pose | None],
    stills: Sequence[Rgb],
    truth: Truth | None,
) -> str:
    """The HTML page.

    Args:
        report: its metrics and advice.
        raw: the poses as they were seen, frame by frame.
        smooth: the poses as they are drawn.
        stills: pictures to show.
        truth: the exact joints of the same frames, None if unknown.
    """
    said = "".join(
        f"<p{' class=warn' if line.startswith('! ') else ''}>{escape(line.removeprefix('! '))}</p>"
        for line in report.lines()
    )
    return document(
        f"Poses in {report.video}",
        f"{said}<h2>Looks like</h2><div class=stills>{''.join(map(image, stills))}</div>"
        f"<h2>When it is seen</h2><p class=key>From above: person, {escape(', '.join(PART_KEYPOINTS))}. "
        f"Bright: seen; dark: not.</p>{_strips(raw)}{_close_up(report, raw, smooth, truth)}"
        f"<h2>Jitter by joint</h2><p class=key>Mean distance from the joint's own smooth path, px. "
        f"{_key('raw', 'smooth')}</p>{_bars(report.fps, raw, smooth)}",
    )


def _key(*names: str) -> str:
    return " ".join(f'<span style="color:{COLORS[name]}">{name}</span>' for name in names)


def _strips(raw: Sequence[Pose | None]) -> str:
    rows = [[pose is not None for pose in raw]]
    return strips(
        rows + [[pose is not None and pose.confidence[i] > 0 for pose in raw] for i in PART_KEYPOINTS.values()]
    )


def _close_up(
    report: PoseReport, raw: Sequence[Pose | None], smooth: Sequence[Pose | None], truth: Truth | None
) -> str:
    """The height of a wrist over the seconds in which it moves most."""
    tracks = {
        name: joint_track(poses, ("left_wrist",), least_confidence=0.01)[:, 0, 1]
        for name, poses in (("raw", raw), ("smooth", smooth))
    }
    if truth is not None and "left_wrist" in truth.names:
        tracks["truth"] = truth.xy[:, truth.names.index("left_wrist"), 1]
    count = min(len(raw), round(CLOSE_UP_S * report.fps))
    if count < 2 or not np.isfinite(tracks["smooth"]).any():
        return ""
    moves = np.nan_to_num(np.abs(np.diff(tracks["smooth"])))
    start = int(np.argmax(np.convolve(moves, np.ones(count - 1), "valid")))
    shown = {name: each[start : start + count] for name, each in tracks.items()}
    values = np.concatenate(list(shown.values()))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    lines = "".join(_line(each, low, high, COLORS[name]) for name, each in shown.items())
    return (
        f"<h2>The left wrist, {start / report.fps:.1f} to {(start + count) / report.fps:.1f} s</h2>"
        f"<p class=key>Its height in the picture, {high - low:.0f} px from top to bottom. {_key(*shown)}</p>"
        f'<svg viewBox="0 0 {WIDTH_PX} {PLOT_PX}">{lines}</svg>'
    )


def _line(values: Floats, low: float, high: float, color: str) -> str:
    """A polyline that breaks where there is no value."""
    x, y = np.linspace(0, WIDTH_PX, len(values)), 6 + (PLOT_PX - 12) * (values - low) / max(high - low, 1e-6)
    edges = np.flatnonzero(np.diff(np.isfinite(np.concatenate([[np.nan], values, [np.nan]])).astype(np.int8)))
    return "".join(
        f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="'
        + " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[run], y[run], strict=True))
        + '"/>'
        for run in (slice(start, stop) for start, stop in edges.reshape(-1, 2).tolist())
    )


def _bars(fps: float, raw: Sequence[Pose | None], smooth: Sequence[Pose | None]) -> str:
    means = [_means(jitter_px(joint_track(poses), fps)) for poses in (raw, smooth)]
    scale = (WIDTH_PX - 200) / max(1e-6, *np.concatenate(means).tolist())
    rows = []
    for number, (joint, *lengths) in enumerate(zip(JOINTS, *means, strict=True)):
        y = number * 2 * STRIP_PX
        rows.append(f'<text x="0" y="{y + 16}" fill="#e8e8ec" font-size="13">{joint.replace("_", " ")}</text>')
        rows += [
            f'<rect x="130" y="{y + 4 + 9 * i}" width="{scale * length:.1f}" height="8" fill="{color}"/>'
            f'<text x="{135 + scale * length:.1f}" y="{y + 12 + 9 * i}" fill="#a0a0aa" '
            f'font-size="9">{length:.2f}</text>'
            for i, (length, color) in enumerate(zip(lengths, (COLORS["raw"], COLORS["smooth"]), strict=True))
        ]
    return f'<svg viewBox="0 0 {WIDTH_PX} {2 * STRIP_PX * len(JOINTS)}">{"".join(rows)}</svg>'


def _means(values: Floats) -> NDArray[np.float64]:
    """The mean of each column, 0 where there is none."""
    counts = np.isfinite(values).sum(axis=0)
    return np.asarray(np.nansum(values, axis=0) / counts.clip(1), np.float64)
