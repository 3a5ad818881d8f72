"""`trainer evaluate` and `trainer detector`: measure a subject, and tell its videos from footage."""

import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import tyro
from tyro.conf import Positional, UseAppendAction

from engines.errors import UserError
from engines.files import check_there, check_writable, disk_full_message
from engines.values import Inline
from realtime.fetch import film_at, is_url
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from trainer.config import parse_crop
from trainer.evaluation.playback import VideoSpan
from trainer.settings import Overrides


def evaluate(
    subject: str = "alice",
    video: Annotated[str | None, tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None,
    driver: Annotated[str | None, tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None,
    out: Path = Path("evaluation"),
    ablation: bool = False,
    every: int = 5,
    drift_frames: int = 10_000,
    crop: Annotated[str | None, tyro.conf.arg(metavar="X,Y,WIDTH,HEIGHT", help_behavior_hint="")] = None,
    record: bool = False,
    part: Annotated[VideoSpan, Inline] = VideoSpan(),
    assignments: Annotated[UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", metavar="NAME=VALUE")] = (),
) -> None:
    """Measure a subject as the paper does: likeness to the truth, pose, flicker, drift.

    Prints a table, and as its last line the same as JSON; after --video, the metrics of --driver are its `driver`.

    Args:
        subject: The subject's name, or the path of its folder.
        video: Footage of the same person and background that was not trained on: the truth. As everywhere a video, a
            folder of pictures, or an URL.
        driver: Video of somebody else, whose moves the subject makes: there is no truth to compare with.
        out: Folder for the videos to look at: footage | figure | output.
        ablation: Measure the subject also frame by frame, and without its face network: the paper's table; and as it
            is shown live where pictures do not wait for the networks.
        every: Measure one of so many frames; all of them are played.
        drift_frames: Length of the chain whose drift is measured, 0 to leave that out; takes most of the time.
        crop: Part of --video to use, in its pixels; by default as in training, or the middle if its size is another.
        record: Write the metrics of --video into the subject's manifest.
        part: Which part of the video.
        assignments: Change how it runs: backend, precision, threads, estimator, pose_parts, pose_effort or person.
    """
    overrides = Overrides(assignments)
    engines, pose = overrides.apply(EngineConfig()), overrides.apply(PoseConfig())
    overrides.check_applied()
    if video is None and driver is None:
        raise UserError("Give --video, footage of the subject, or --driver, a video of somebody else.")
    if every < 1 or drift_frames < 0:
        raise UserError(f"--every must be at least 1 and --drift-frames at least 0, not {every} and {drift_frames}.")
    if video is None and (crop or record):
        raise UserError("--crop and --record are for --video, footage of the subject: give that, too.")
    check_there(*(Path(each) for each in (video, driver) if each is not None and not is_url(each)))
    check_writable(out)
    from trainer.evaluation.evaluate import evaluate as measure
    from trainer.evaluation.evaluate import record as write_down
    from trainer.evaluation.evaluate import show
    from trainer.evaluation.playback import VideoPlayback

    played, box = load_subject(subject), parse_crop(crop) if crop else None
    if record and not os.access(played.folder, os.W_OK):
        raise UserError(f"--record cannot write into {played.folder}: copy the subject, and give the copy's path.")
    results = []
    with ExitStack() as films:
        performances = [
            VideoPlayback(
                played,
                films.enter_context(film_at(film)),
                part,
                engines,
                pose,
                self_driven=film is video,
                box=box if film is video else None,
            )
            for film in (video, driver)
            if film is not None
        ]
        out.mkdir(parents=True, exist_ok=True)
        for performance in performances:
            driven = "" if performance.self_driven else "_driver"
            path = out / f"{played.manifest.name}_{performance.video.stem}{driven}.mp4"
            with disk_full_message("the videos", out):
                result = measure(
                    performance, path, engines, pose, ablation=ablation, every=every, drift_frames=drift_frames
                )
            results.append(result)
            print(f"Look at {path}")
            show(results[-1])
    if record:
        write_down(played, results[0])
    print(msgspec.json.encode(msgspec.structs.replace(results[0], driver=results[1] if results[1:] else None)).decode())


@dataclass(frozen=True, kw_only=True)
class DetectorTrain:
    """Learn to tell a subject's videos from real footage of the same person; takes minutes.

    The subject renders the footage, so both classes have the same moves, background, size and encoder. The end of every
    video is held out: the accuracy on it is reported, and kept in the file.
    """

    real: tuple[str, ...]
    """Videos of the person, also folders of pictures and URLs."""
    out: Path
    """The detector to write, .safetensors."""
    subject: str = "alice"
    """The subject whose videos are to be detected: its name, or the path of its folder."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)
    pose: Annotated[PoseConfig, Inline] = field(default_factory=PoseConfig)


@dataclass(frozen=True, kw_only=True)
class DetectorRun:
    """Print for every second of a video how likely the subject's networks made it."""

    video: Annotated[Positional[str], tyro.conf.arg(metavar="VIDEO")]
    """The video, with the whole body in it, also a folder of pictures or an URL."""
    model: Path
    """A detector made by `trainer detector train`."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)
    pose: Annotated[PoseConfig, Inline] = field(default_factory=PoseConfig)


def detector(
    action: Annotated[
        Annotated[DetectorTrain, tyro.conf.subcommand("train")] | Annotated[DetectorRun, tyro.conf.subcommand("run")],
        Inline,
    ],
) -> None:
    """Tell a subject's videos from real footage: detector train, detector run."""
    films = [action.video] if isinstance(action, DetectorRun) else action.real
    check_there(*(Path(each) for each in films if not is_url(each)))
    if isinstance(action, DetectorRun):
        check_there(action.model)
    else:
        check_writable(action.out)
    from trainer.detector.commands import make_detector, run_detector, show

    if isinstance(action, DetectorRun):
        with film_at(action.video) as path:
            show(run_detector(action.model, path, action.engines, action.pose))
        return
    if not action.real:
        raise UserError("--real needs a video of the person at least.")
    with ExitStack() as fetching:
        real = [fetching.enter_context(film_at(each)) for each in action.real]
        about = make_detector(load_subject(action.subject), real, action.out, action.engines, action.pose)
    model = shlex.quote(str(action.out))
    print(
        f"{action.out}: of {2 * about.held_out_clips} held-out clips {about.accuracy:.1%} are told rightly, of their "
        f"pairs of frames {about.pair_accuracy:.1%}. Next: trainer detector run --model {model} VIDEO"
    )
    print(msgspec.json.encode(about).decode())
