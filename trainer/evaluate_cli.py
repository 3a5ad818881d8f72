"""`trainer evaluate` and `trainer detector`: measure a subject, and tell its videos from footage."""

import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import tyro
from tyro.conf import Positional

from engines.errors import UserError
from engines.files import check_free, check_there, check_writable, disk_full_message
from engines.values import Inline, SubjectName
from realtime.fetch import film_at, is_url
from realtime.named_films import video_path
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import BUNDLED, Subject, load_subject
from realtime.subject_engines import EngineConfig
from trainer.config import parse_crop
from trainer.evaluation.playback import VideoPlayback, VideoSpan

if TYPE_CHECKING:
    from trainer.evaluation.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Which subject to measure, on which footage, and how."""

    subject: SubjectName = "alice"
    """The subject's name, or the path of its folder."""
    video: Annotated[str | None, tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None
    """Footage of the same person and background that was not trained on: the truth. As everywhere a video, a folder of
    pictures, or an URL."""
    driver: Annotated[str | None, tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None
    """Video of somebody else, whose moves the subject makes, also a bundled performer's name (bob): there is no truth
    to compare with."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("evaluation")
    """Folder for the videos to look at: footage | figure | output."""
    replace: bool = False
    """Make anew those of them that are there already."""
    ablation: bool = False
    """Measure the subject also frame by frame, and without its face network: the paper's table; and as it is shown live
    where pictures do not wait for the networks."""
    every: int = 5
    """Measure one of so many frames; all of them are played."""
    drift_frames: int = 10_000
    """Length of the chain whose drift is measured, 0 to leave that out; takes most of the time."""
    crop: Annotated[str | None, tyro.conf.arg(metavar="X,Y,WIDTH,HEIGHT", help_behavior_hint="")] = None
    """Part of --video to use, in its pixels; by default as in training, or the middle if its size is another."""
    record: bool = False
    """Write the metrics of --video into the subject's manifest."""
    part: Annotated[VideoSpan, Inline] = field(default_factory=VideoSpan)
    """Which part of the video."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)
    """How the networks run."""
    pose: Annotated[PoseConfig, Inline] = field(default_factory=PoseConfig)
    """What estimates the pose, and whose."""

    def __post_init__(self) -> None:
        if self.video is None and self.driver is None:
            raise UserError("Give --video, footage of the subject, or --driver, a video of somebody else.")
        if self.every < 1 or self.drift_frames < 0:
            raise UserError(
                f"--every must be at least 1 and --drift-frames at least 0, not {self.every} and {self.drift_frames}."
            )
        if self.video is None and (self.crop is not None or self.record):
            raise UserError("--crop and --record are for --video, footage of the subject: give that, too.")
        if self.crop is not None:
            parse_crop(self.crop)


def evaluate(config: Annotated[EvaluateConfig, Inline]) -> None:
    """Measure a subject as the paper does: likeness to the truth, pose, flicker, drift.

    Prints a table, and as its last line the same as JSON; after --video, the metrics of --driver are its `driver`.
    """
    if config.video is not None and not is_url(config.video):
        check_there(Path(config.video))
    if config.driver is not None and not is_url(config.driver):
        config = replace(config, driver=str(video_path(config.driver)))
    check_writable(config.out)
    from trainer.evaluation.evaluate import record

    subject = load_subject(config.subject)
    if config.record:
        _check_recordable(subject, config.subject)
    with ExitStack() as films:
        first, *others = [_measure(config, playback) for playback in _playbacks(config, subject, films)]
    if config.record:
        record(subject, first)
    print(msgspec.json.encode(msgspec.structs.replace(first, driver=others[0] if others else None)).decode())


def _check_recordable(subject: Subject, typed: str) -> None:
    """Who makes a bundled subject gives the path of its folder; by its name alone nobody means to change it."""
    bundled = subject.folder == BUNDLED / subject.folder.name and typed == subject.folder.name
    if bundled or not os.access(subject.folder, os.W_OK):
        whose = ", which comes with bodydouble" if bundled else ""
        raise UserError(
            f"--record cannot write into {subject.folder}{whose}: copy the subject, and give the copy's path."
        )


def _playbacks(config: EvaluateConfig, subject: Subject, films: ExitStack) -> list[VideoPlayback]:
    """The moves of --video, then those of --driver; `films` closes what was fetched."""
    playbacks = []
    for film, own in ((config.video, True), (config.driver, False)):
        if film is not None:
            path = films.enter_context(film_at(film))
            check_free(_shown_at(config, subject, path, own=own), replace=config.replace)
            box = parse_crop(config.crop) if own and config.crop is not None else None
            playbacks.append(
                VideoPlayback(subject, path, config.part, config.engines, config.pose, self_driven=own, box=box)
            )
    return playbacks


def _shown_at(config: EvaluateConfig, subject: Subject, film: Path, *, own: bool) -> Path:
    """The video to look at: of the subject's own footage, or of a driver's moves."""
    return config.out / f"{subject.manifest.name}_{film.stem}{'' if own else '_driver'}.mp4"


def _measure(config: EvaluateConfig, playback: VideoPlayback) -> "Evaluation":
    """Play and measure one film; writes the video to look at, and prints the table."""
    from trainer.evaluation.evaluate import evaluate as measure
    from trainer.evaluation.evaluate import show

    config.out.mkdir(parents=True, exist_ok=True)
    path = _shown_at(config, playback.subject, playback.video, own=playback.self_driven)
    with disk_full_message("the videos", config.out):
        found = measure(
            playback,
            path,
            config.engines,
            config.pose,
            ablation=config.ablation,
            every=config.every,
            drift_frames=config.drift_frames,
        )
    print(f"Look at {path}")
    show(found)
    return found


@dataclass(frozen=True, kw_only=True)
class DetectorTrain:
    """Learn to tell a subject's videos from real footage of the same person; takes minutes.

    The subject renders the footage, so both classes have the same moves, background, size and encoder. The end of every
    video is held out: the accuracy on it is reported, and kept in the file.
    """

    real: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[VIDEO ...]")]
    """Videos of the person, also folders of pictures and URLs."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.safetensors")]
    """The detector to write, .safetensors."""
    subject: SubjectName = "alice"
    """The subject whose videos are to be detected: its name, or the path of its folder."""
    replace: bool = False
    """Make --out anew if it is there already."""
    engines: Annotated[EngineConfig, Inline] = field(default_factory=EngineConfig)
    pose: Annotated[PoseConfig, Inline] = field(default_factory=PoseConfig)


@dataclass(frozen=True, kw_only=True)
class DetectorRun:
    """Print for every second of a video how likely the subject's networks made it."""

    video: Annotated[Positional[str], tyro.conf.arg(metavar="VIDEO")]
    """The video, with the whole body in it, also a folder of pictures or an URL."""
    model: Annotated[Path, tyro.conf.arg(metavar="FILE.safetensors")]
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
        _check_out(action)
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


def _check_out(action: DetectorTrain) -> None:
    if action.out.suffix.lower() != ".safetensors":
        raise UserError(f"--out must be a .safetensors, not {action.out}: name it {action.out.name}.safetensors.")
    check_free(action.out, replace=action.replace)
    check_writable(action.out)
