"""`trainer evaluate` and `trainer detector`: how good a subject is, and whether one can tell."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import tyro
from tyro.conf import Positional

from engines.errors import UserError
from engines.files import disk_full_message
from realtime.config import EngineConfig
from realtime.subject import load_subject
from trainer.evaluation.playback import VideoSpan
from trainer.footage.crop import parse_crop

Inline = tyro.conf.arg(name="")


def evaluate(
    subject: str = "alice",
    video: Path | None = None,
    driver: Path | None = None,
    out: Path = Path("evaluation"),
    ablation: bool = False,
    every: int = 5,
    drift_frames: int = 10_000,
    crop: str | None = None,
    record: bool = False,
    part: Annotated[VideoSpan, Inline] = VideoSpan(),
    engines: Annotated[EngineConfig, Inline] = EngineConfig(),
) -> None:
    """Measure a subject as the paper does: likeness to the truth, pose, flicker, drift. Rolled out exactly as live.

    Prints a table, and as its last line the same as JSON.

    Args:
        subject: who is judged: a name, or the path of a subject's folder.
        video: footage of the same person in the same room that was not trained on: every picture has its truth.
        driver: a video of somebody else whose moves she makes: no truth, so only pose, missed keypoints and flicker.
            With both, its metrics are the first one's `driver` in the JSON.
        out: folder for the videos to look at: footage | figure | output.
        ablation: judge her frame by frame, with her memory, and with her face network: the paper's table.
        every: measure every so many frames; all of them are played.
        drift_frames: length of the chain whose drift is measured, 0 to leave that out; takes most of the time.
        crop: part of --video to use, X,Y,WIDTH,HEIGHT in its pixels; by default the one that she was trained on, where
            the video is as large as that footage, else the middle.
        record: write the metrics of --video into the subject's manifest, for everybody who plays her.
        part: which part of the video.
        engines: how the networks run.
    """
    if video is None and driver is None:
        raise UserError("Give --video, footage of the subject, or --driver, a video of somebody else.")
    if every < 1 or drift_frames < 0:
        raise UserError(f"--every must be at least 1 and --drift-frames at least 0, not {every} and {drift_frames}.")
    if video is None and (crop or record):
        raise UserError("--crop and --record are for --video, footage of the subject: give that, too.")
    from trainer.evaluation.evaluate import evaluate as measure
    from trainer.evaluation.evaluate import record as write_down
    from trainer.evaluation.evaluate import show
    from trainer.evaluation.playback import VideoPlayback

    played, box = load_subject(subject), parse_crop(crop) if crop else None
    if record and not os.access(played.folder, os.W_OK):
        raise UserError(f"--record cannot write into {played.folder}: copy the subject, and give the copy's path.")
    performances = [
        VideoPlayback(played, path, part, engines, self_driven=path is video, box=box if path is video else None)
        for path in (video, driver)
        if path is not None
    ]
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for performance in performances:
        path = out / f"{played.manifest.name}_{performance.video.stem}.mp4"
        with disk_full_message("the videos", out):
            result = measure(performance, path, engines, ablation=ablation, every=every, drift_frames=drift_frames)
        results.append(result)
        print(f"Look at {path}")
        show(results[-1])
    if record:
        write_down(played, results[0])
    print(msgspec.json.encode(msgspec.structs.replace(results[0], driver=results[1] if results[1:] else None)).decode())


@dataclass(frozen=True, kw_only=True)
class Train:
    """Learn to tell a subject's videos from real footage of the same person; takes minutes.

    The subject is rendered over the footage, so both classes have the same moves, room, size and encoder. The end of
    every video is held out: the accuracy on it is reported, and kept in the file.
    """

    real: tuple[Path, ...]
    """Videos of the person."""
    out: Path
    """The detector to write, .safetensors."""
    subject: str = "alice"
    """Whose videos are to be found out: a name, or the path of a subject's folder."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)


@dataclass(frozen=True, kw_only=True)
class Run:
    """FrameMetrics a video: prints for every second how likely the subject's networks made it."""

    video: Annotated[Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """The video to judge, the whole body in it."""
    model: Path
    """A detector made by `trainer detector train`."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)


def detector(
    action: Annotated[
        Annotated[Train, tyro.conf.subcommand("train")] | Annotated[Run, tyro.conf.subcommand("run")], Inline
    ],
) -> None:
    """Tell a subject's videos from real footage: detector train, detector run."""
    from trainer.detector.commands import make_detector, run_detector, show

    if isinstance(action, Run):
        show(run_detector(action.model, action.video, action.engines))
        return
    about = make_detector(load_subject(action.subject), action.real, action.out, action.engines)
    print(
        f"{action.out}: of {2 * about.held_out_clips} held-out clips {about.accuracy:.1%} are told rightly, of their "
        f"pairs of frames {about.pair_accuracy:.1%}. Next: trainer detector run --model {action.out} VIDEO"
    )
    print(msgspec.json.encode(about).decode())
