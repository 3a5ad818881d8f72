"""`trainer detector train` and `run`: from videos to a detector, and from a detector to a video's probability."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig
from realtime.video import count_frames, frame_rate, read_video
from trainer.detector.classifier import (
    ClipFeatures,
    DetectorInfo,
    PairFeatures,
    accuracy,
    load_detector,
    make_pairs,
    save_detector,
    train_detector,
    whole_clips,
)
from trainer.evaluation.playback import PlaybackChain
from trainer.footage.crop import Framing

HELD_OUT_SHARE = 0.25
"""Of every video's clips, at its end; the clip before them is left out."""
LEAST_CLIPS = 4
CRFS = range(20, 31)
"""Qualities of the encoder that a detector is trained with; it classifies at the middle one."""


class DetectorResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `trainer detector run` prints."""

    subject: str
    video: str
    fake: float
    """Mean probability over the clips."""
    clips: list[tuple[float, float]]
    """Each clip's first second, and the probability that the subject's networks made it."""


def make_detector(
    subject: Subject, real: Sequence[Path], out: Path, engines: EngineConfig, pose: PoseConfig = PoseConfig()
) -> DetectorInfo:
    """Render the subject over real footage of the same person, and train a detector on both.

    Args:
        subject: what the detector will detect.
        real: videos of the person.
        out: .safetensors to write.
        engines: how the subject's networks run.
        pose: what estimates the pose, and whose.

    Raises:
        UserError: a video cannot be read, or there is too little of the person in it.
    """
    pose = pose.for_skeleton(subject.manifest.skeleton_version)
    rng, features = np.random.default_rng(0), PairFeatures()
    training, held_out = list[ClipFeatures](), list[ClipFeatures]()
    for video in real:
        fps, clips = frame_rate(video), list[ClipFeatures]()
        for _, versions, poses in whole_clips(_rendered(subject, video, engines, pose), fps):
            crf = int(rng.choice(CRFS))
            clips.append(ClipFeatures(*(features(make_pairs(pictures, poses, fps, crf)) for pictures in versions)))
        if len(clips) < LEAST_CLIPS:
            raise UserError(
                f"{video} has the person for {len(clips)} whole seconds only, {LEAST_CLIPS} are the least: "
                "give longer footage."
            )
        end = len(clips) - max(1, round(HELD_OUT_SHARE * len(clips)))
        training += clips[: end - 1]
        held_out += clips[end:]
    detector = train_detector(training)
    clip_accuracy, pair_accuracy = accuracy(detector, held_out)
    info = DetectorInfo(
        subject=subject.manifest.name,
        skeleton_version=subject.manifest.skeleton_version,
        size_px=subject.size_px,
        footage_px=subject.manifest.training.footage_px,
        crop=subject.manifest.training.crop,
        training_clips=len(training),
        held_out_clips=len(held_out),
        accuracy=round(clip_accuracy, 4),
        pair_accuracy=round(pair_accuracy, 4),
    )
    save_detector(detector, info, out)
    return info


def run_detector(model: Path, video: Path, engines: EngineConfig, pose: PoseConfig = PoseConfig()) -> DetectorResult:
    """Classify every whole second of a video.

    Raises:
        UserError: the detector or the video cannot be read, or nobody is in it for a second.
    """
    detector, info = load_detector(model)
    pose, framing = pose.for_skeleton(info.skeleton_version), Framing(info.size_px, info.footage_px, info.crop)
    fps, features, clips = frame_rate(video), PairFeatures(), list[tuple[float, float]]()
    frames = (
        ([picture], seen) for picture, seen in tracked_frames(video, framing, pose, engines.threads, "Classifying")
    )
    for first, [pictures], poses in whole_clips(frames, fps):
        logits = detector.logits(features(make_pairs(pictures, poses, fps, CRFS[len(CRFS) // 2])))
        clips.append((round(first / fps, 2), round(float(logits.mean().sigmoid()), 4)))
    if not clips:
        raise UserError(f"Nobody is in {video} for a whole second: give a video of the person.")
    mean = round(float(np.mean([fake for _, fake in clips])), 4)
    return DetectorResult(subject=info.subject, video=video.name, fake=mean, clips=clips)


def tracked_frames(
    video: Path, framing: Framing, pose: PoseConfig, threads: int, title: str
) -> Iterator[tuple[Rgb, Pose | None]]:
    """The cropped frames, uint8 H W 3, and the stabilized pose in each, None for nobody; shows a progress bar.

    Raises:
        UserError: the video cannot be read.
    """
    poses = PoseTrack.of(pose, threads=threads)
    for rgb, at_s in track(read_video(video), title, total=count_frames(video) or None, transient=True):
        crop, tracked = framing.crop(rgb), poses.step(rgb, at_s)
        yield crop.picture(rgb), crop.pose(tracked.pose) if tracked.seen and tracked.pose else None


def show(result: DetectorResult) -> None:
    """Print a table, and one line of JSON."""
    table = Table("from", f"made by {result.subject}'s networks", title=result.video)
    for start_s, fake in result.clips:
        table.add_row(f"{start_s:.1f} s", f"{fake:.3f}")
    table.add_row("all", f"{result.fake:.3f}")
    Console().print(table)
    print(msgspec.json.encode(result).decode())


def _rendered(
    subject: Subject, video: Path, engines: EngineConfig, config: PoseConfig
) -> Iterator[tuple[Sequence[Rgb], Pose | None]]:
    """Every frame as it was filmed and as the subject renders it, and its pose."""
    chain, framing = PlaybackChain(subject, engines), Framing.of(subject.manifest)
    for picture, pose in tracked_frames(video, framing, config, engines.threads, f"Rendering {video.name}"):
        yield [picture, chain.step(subject.figure(pose).rgb, pose)], pose
