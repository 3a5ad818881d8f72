"""From videos to a detector, and from a detector to a verdict on a video."""

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
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig
from realtime.video import count_frames, frame_rate
from trainer.detector.classifier import About, Clip, Features, accuracy, load_detector, save_detector, train_detector
from trainer.detector.clips import cut, watch, whole_clips
from trainer.evaluation.playback import PlaybackChain
from trainer.footage.crop import Framing

HELD_OUT = 0.25
"""The end of every video is only judged on, and the clip before it is left out."""
LEAST_CLIPS = 4
CRFS = range(20, 31)
"""Qualities of the encoder that a detector is trained with; the middle one is what it judges at."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `trainer detector run` prints."""

    subject: str
    video: str
    fake: float
    """Mean over the clips."""
    clips: list[tuple[float, float]]
    """Each clip's first second, and the probability that the subject's networks made it."""


def make_detector(
    subject: Subject, real: Sequence[Path], out: Path, engines: EngineConfig, pose: PoseConfig = PoseConfig()
) -> About:
    """Render the subject over real footage of the same person, and learn the difference.

    Args:
        subject: whose videos are to be found out.
        real: videos of the person.
        out: .safetensors to write.
        engines: how the subject's networks run.
        pose: what estimates the pose, and whose.

    Raises:
        UserError: a video cannot be read, or there is too little of the person in it.
    """
    rng, features = np.random.default_rng(0), Features()
    training, held_out = list[Clip](), list[Clip]()
    for video in real:
        fps, clips = frame_rate(video), list[Clip]()
        for _, versions, poses in whole_clips(_rendered(subject, video, engines, pose), fps):
            crf = int(rng.choice(CRFS))
            clips.append(Clip(*(features(cut(pictures, poses, fps, crf)) for pictures in versions)))
        if len(clips) < LEAST_CLIPS:
            raise UserError(
                f"{video} has the person for {len(clips)} whole seconds only, {LEAST_CLIPS} are the least: "
                "give longer footage."
            )
        end = len(clips) - max(1, round(HELD_OUT * len(clips)))
        training += clips[: end - 1]
        held_out += clips[end:]
    detector = train_detector(training)
    clip_accuracy, pair_accuracy = accuracy(detector, held_out)
    about = About(
        subject=subject.manifest.name,
        size_px=subject.size_px,
        footage_px=subject.manifest.training.footage_px,
        crop=subject.manifest.training.crop,
        training_clips=len(training),
        held_out_clips=len(held_out),
        accuracy=round(clip_accuracy, 4),
        pair_accuracy=round(pair_accuracy, 4),
    )
    save_detector(detector, about, out)
    return about


def run_detector(model: Path, video: Path, engines: EngineConfig, pose: PoseConfig = PoseConfig()) -> Verdict:
    """FrameMetrics every whole second of a video.

    Raises:
        UserError: the detector or the video cannot be read, or nobody is in it for a second.
    """
    detector, about = load_detector(model)
    framing = Framing(about.size_px, about.footage_px, about.crop)
    fps, features, clips = frame_rate(video), Features(), list[tuple[float, float]]()
    frames = (([picture], seen) for picture, seen in _tracked(video, framing, engines.threads, pose, "Watching"))
    for first, [pictures], poses in whole_clips(frames, fps):
        logits = detector.logits(features(cut(pictures, poses, fps, CRFS[len(CRFS) // 2])))
        clips.append((round(first / fps, 2), round(float(logits.mean().sigmoid()), 4)))
    if not clips:
        raise UserError(f"Nobody is in {video} for a whole second: give a video of the person.")
    mean = round(float(np.mean([fake for _, fake in clips])), 4)
    return Verdict(subject=about.subject, video=video.name, fake=mean, clips=clips)


def show(verdict: Verdict) -> None:
    """A table for people, and one line of JSON for programs."""
    table = Table("from", f"made by {verdict.subject}'s networks", title=verdict.video)
    for start_s, fake in verdict.clips:
        table.add_row(f"{start_s:.1f} s", f"{fake:.3f}")
    table.add_row("all", f"{verdict.fake:.3f}")
    Console().print(table)
    print(msgspec.json.encode(verdict).decode())


def _rendered(
    subject: Subject, video: Path, engines: EngineConfig, config: PoseConfig
) -> Iterator[tuple[Sequence[Rgb], Pose | None]]:
    """Every frame as it was filmed and as the subject shows it."""
    chain, framing = PlaybackChain(subject, engines), Framing.of(subject.manifest)
    for picture, pose in _tracked(video, framing, engines.threads, config, f"Rendering {video.name}"):
        yield [picture, chain.step(subject.figure(pose).rgb, pose)], pose


def _tracked(
    video: Path, framing: Framing, threads: int, pose: PoseConfig, what: str
) -> Iterator[tuple[Rgb, Pose | None]]:
    total = count_frames(video) or None
    yield from track(watch(video, framing, pose, threads), what, total=total, transient=True)
