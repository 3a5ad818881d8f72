"""The page of `realtime pose`: one HTML file with its pictures and plots inside."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.html import STRIP_PX, WIDTH_PX, document, image, strips
from realtime.pose.pose import Floats, Pose
from realtime.pose.quality.ground_truth import Truth
from realtime.pose.quality.track_metrics import JOINTS, jitter_px, track
from realtime.pose.quality.track_report import PARTS, PoseReport

PLOT_PX = 160
CLOSE_UP_S = 4.0
COLORS = {"raw": "#8a8a94", "smooth": "#4dd2ff", "truth": "#ffd24d"}


def page(
    report: PoseReport,
    raw: Sequence[Pose | None],
    smooth: Sequence[Pose | None],
    stills: Sequence[Rgb],
    truth: Truth | None,
) -> str:
    """The whole page.

    Args:
        report: what is said.
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
        f"<h2>When it is seen</h2><p class=key>From above: person, {escape(', '.join(PARTS))}. "
        f"Bright: seen; dark: not.</p>{_strips(raw)}{_close_up(report, raw, smooth, truth)}"
        f"<h2>Jitter by joint</h2><p class=key>Mean distance from the joint's own smooth path, px. "
        f"{_key('raw', 'smooth')}</p>{_bars(report.fps, raw, smooth)}",
    )


def _key(*names: str) -> str:
    return " ".join(f'<span style="color:{COLORS[name]}">{name}</span>' for name in names)


def _strips(raw: Sequence[Pose | None]) -> str:
    rows = [[pose is not None for pose in raw]]
    return strips(rows + [[pose is not None and pose.confidence[i] > 0 for pose in raw] for i in PARTS.values()])


def _close_up(
    report: PoseReport, raw: Sequence[Pose | None], smooth: Sequence[Pose | None], truth: Truth | None
) -> str:
    """The height of a wrist over the seconds in which it moves most."""
    tracks = {
        name: track(poses, ("left_wrist",), sure=0.01)[:, 0, 1] for name, poses in (("raw", raw), ("smooth", smooth))
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
    means = [_means(jitter_px(track(poses), fps)) for poses in (raw, smooth)]
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
