"""The paper's evaluation (EDN, section 4) of a finished subject, played exactly as live."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.console import progress_bar
from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import load_estimator
from realtime.pose.pose import Pose
from realtime.subject import Subject, load_subject, write_manifest
from realtime.subject_engines import EngineConfig
from realtime.video_writer import VideoWriter
from trainer.evaluation.drift import DriftPlan, measure_drift, plan_drift
from trainer.evaluation.frame_metrics import FrameMetrics, MeasuredFrame, MetricNetworks, Metrics
from trainer.evaluation.playback import PlaybackChain, PlaybackFrame, ReprojectedChain, VideoPlayback

AS_LIVE, REPROJECTED = "+ face", "reprojected"
"""Rows of the ablation: what is played live, and what is where pictures do not wait for the networks."""
ABLATION: Mapping[str, Callable[[Subject, EngineConfig], PlaybackChain]] = {
    "frame by frame": partial(PlaybackChain, memory=False, face=False),
    "+ temporal": partial(PlaybackChain, face=False),
    AS_LIVE: PlaybackChain,
    REPROJECTED: ReprojectedChain,
}


class Evaluation(Metrics, frozen=True, kw_only=True):
    """The last line that `trainer evaluate` prints."""

    size: int
    """Side of the picture in pixels."""
    drift: float | None
    """By how many dB PSNR the end of a long chain is below the same frames of a fresh one; null if not measured."""
    subject: str
    video: str
    truth: bool
    """Whether the video shows the subject."""
    frames: int
    """Frames played; every `every`-th was measured."""
    every: int
    drift_frames: int
    """Length of the long chain."""
    engine: str
    """What ran the networks, e.g. "openvino in int8"."""
    ablation: dict[str, Metrics] | None
    driver: "Evaluation | None" = None
    """The same subject with the moves of somebody else, if that was asked for, too."""


def evaluate(
    playback: VideoPlayback,
    out: Path,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    *,
    ablation: bool,
    every: int,
    drift_frames: int,
) -> Evaluation:
    """Play a subject, measure it, and write a video (footage | figure | output).

    Args:
        playback: a subject, and a video whose moves it makes.
        out: the video to write, .mp4.
        engines: how the subject's networks run.
        pose: which estimator detects the pose in the output.
        ablation: measure also without the face network, frame by frame, and reprojected.
        every: measure every so many frames.
        drift_frames: length of the chain whose drift is measured, 0 for no such measurement.

    Raises:
        UserError: the video breaks off, or there was nobody to measure.
    """
    subject = playback.subject
    rows = [name for name in ABLATION if name == AS_LIVE or (ablation and (subject.atlas or name != REPROJECTED))]
    chains = {name: ABLATION[name](subject, engines) for name in rows}
    networks = MetricNetworks(load_estimator(pose, threads=engines.threads))
    with progress_bar(transient=True) as progress:
        metrics, poses = _measure(playback, chains, networks, out, every, progress)
        plan = plan_drift(poses, drift_frames, every) if playback.self_driven else None
        drift = _measure_drift(plan, playback, poses, chains[AS_LIVE], progress) if plan else None
    return Evaluation(
        **{name: getattr(metrics[AS_LIVE], name) for name in Metrics.__struct_fields__},
        size=subject.manifest.height_px,
        drift=drift,
        subject=subject.manifest.name,
        video=playback.video.name,
        truth=playback.self_driven,
        frames=len(poses),
        every=every,
        drift_frames=len(plan.frames) if plan else 0,
        engine=str(chains[AS_LIVE].choice),
        ablation=metrics if ablation else None,
    )


def _measure(
    playback: VideoPlayback,
    chains: Mapping[str, PlaybackChain],
    networks: MetricNetworks,
    out: Path,
    every: int,
    progress: Progress,
) -> tuple[dict[str, Metrics], list[Pose | None]]:
    """Play all chains side by side: the metrics of each, and the poses that were drawn."""
    found, poses = {name: FrameMetrics(networks) for name in chains}, list[Pose | None]()
    task = progress.add_task(f"Playing {playback.subject.manifest.name}", total=playback.frames or None)
    past: PlaybackFrame | None = None
    outputs: dict[str, Rgb] = {}
    with VideoWriter(out, playback.fps) as writer:
        for frame in playback.play():
            before, outputs = outputs, {name: chain.step(frame.figure, frame.pose) for name, chain in chains.items()}
            if past is not None and frame.number % every == 0:
                measured = MeasuredFrame.of(past, frame, networks, truth=playback.self_driven)
                if measured is not None:
                    for name, metrics in found.items():
                        metrics.add(measured, before[name], outputs[name])
            writer.write(np.hstack([frame.footage, frame.figure, outputs[AS_LIVE]]))
            poses.append(frame.pose)
            past = frame
            progress.advance(task)
    if not found[AS_LIVE].measured:
        raise UserError(f"Nobody was measured in {playback.video}: choose a longer part, or a smaller --every.")
    return {name: metrics.metrics() for name, metrics in found.items()}, poses


def _measure_drift(
    plan: DriftPlan, playback: VideoPlayback, poses: Sequence[Pose | None], chain: PlaybackChain, progress: Progress
) -> float:
    task = progress.add_task("Measuring drift", total=plan.steps)
    truths = playback.footage({plan.frames[position] for position in plan.compared})
    subject = playback.subject
    return measure_drift(
        plan, poses, lambda pose: subject.figure(pose).rgb, truths, chain, lambda: progress.advance(task)
    )


def record(subject: Subject, result: Evaluation) -> None:
    """Write the metrics on footage of the subject into the subject's manifest.

    Raises:
        UserError: the subject was exported anew meanwhile.
    """
    manifest = load_subject(str(subject.folder)).manifest
    if manifest.files != subject.manifest.files:
        raise UserError(f"{subject.folder} was changed while it was evaluated: evaluate it again.")
    left_out = {"size", "subject", "truth", "ablation", "driver"}
    found = {name: value for name, value in msgspec.to_builtins(result).items() if name not in left_out}
    metrics = {name: value for name, value in found.items() if value is not None}
    training = msgspec.structs.replace(manifest.training, metrics=metrics)
    write_manifest(subject.folder, msgspec.structs.replace(manifest, training=training))


def show(result: Evaluation) -> None:
    """Print the metrics as tables."""
    footage = "truth" if result.truth else "driver"
    title = (
        f"{result.subject} at {result.size} px, {result.video}: {result.frames} frames, one in {result.every} measured"
    )
    table = Table("metric", "value", "of what", title=title)
    for name, crop, what in (
        ("body", result.body, "box of the keypoints, wider by 10 %"),
        ("face", result.face, "square of the head"),
    ):
        if crop is not None:
            table.add_row(f"{name} SSIM", f"{crop.ssim:.4f}", what)
            table.add_row(f"{name} PSNR", f"{crop.psnr:.2f} dB", "")
            table.add_row(f"{name} LPIPS-like", f"{crop.lpips_like:.4f}", "")
    if result.efficientnet is not None:
        table.add_row("body EfficientNet", f"{result.efficientnet:.4f}", "distance of features")
    if result.pose_distance is not None:
        away = f"{result.pose_distance:.2f} % of the stature"
        table.add_row("pose distance", away, f"{result.pose_distance_px:.2f} px, detected again")
    if result.missed is not None:
        table.add_row("missed", f"{result.missed:.2f}", f"keypoints per picture, seen in the {footage}")
    if result.flicker is not None:
        table.add_row("flicker", f"{result.flicker:.2f} x", f"of the {footage}'s own")
    if result.drift is not None:
        table.add_row("drift", f"{result.drift:.2f} dB", f"lost at the end of {result.drift_frames} frames")
    Console().print(table)
    if result.ablation is not None:
        _show_ablation(result.ablation)


def _show_ablation(rows: Mapping[str, Metrics]) -> None:
    headings = ("body\nSSIM", "body\nLPIPS-\nlike", "face\nSSIM", "face\nLPIPS-\nlike", "pose\npx", "missed", "flicker")
    table = Table("", *headings, title="Ablation", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, row in rows.items():
        crops = [(crop.ssim, crop.lpips_like) if crop else (None, None) for crop in (row.body, row.face)]
        cells = [_cell(value, 4) for crop in crops for value in crop]
        table.add_row(name, *cells, *(_cell(value, 2) for value in (row.pose_distance_px, row.missed, row.flicker)))
    Console().print(table)


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
