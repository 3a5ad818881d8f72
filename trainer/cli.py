"""`trainer`: a few minutes of video of a person in, a subject out."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from engines.console import run_commands
from realtime.pose.estimation.load import EstimatorName
from realtime.pose.figure.styles import StyleName
from realtime.subject import Consent, user_subjects
from trainer.config import LIVE, PRESETS, PresetName, TrainConfig, parse_size
from trainer.evaluate_cli import detector, evaluate
from trainer.files import disk_full_message
from trainer.footage.crop import parse_crop
from trainer.options import CheckpointConfig, Machine, first_process, outlasts

RunFolder = Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]


def fit_with(default: TrainConfig) -> Callable[..., None]:
    """The command `fit` with the settings of a preset, each of which can be changed."""

    def fit(
        video: Annotated[Positional[Path], tyro.conf.arg(metavar="VIDEO")],
        /,
        name: str,
        preset: PresetName = "live",
        size: str = "512",
        out: Path | None = None,
        run: Path | None = None,
        person: str = "not stated",
        licence: str = "not stated",
        pose: EstimatorName = "own",
        openpose: Path | None = None,
        figure: StyleName | None = None,
        crop: str | None = None,
        fps: float | None = None,
        config: Annotated[TrainConfig, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands] = default,
        machine: Annotated[Machine, tyro.conf.arg(name="")] = Machine(),
        upkeep: Annotated[CheckpointConfig, tyro.conf.arg(name="")] = CheckpointConfig(),
    ) -> None:
        """Make a subject of a video: prepare, train and export. Ctrl-C saves; the same command goes on.

        Args:
            video: one person, filmed for minutes with a camera that stands still, head to toes in the picture; or a
                folder of numbered pictures.
            name: the subject's name.
            preset: the settings to begin with, see `trainer train`.
            size: of the picture, see `trainer prepare`.
            out: where to put the subject's folder; by default among your own subjects.
            run: folder for everything that comes before; by default runs/NAME.
            person: who is shown, for the consent record.
            licence: what the subject may be used for, for the consent record.
            pose: what finds the person, see `trainer prepare`.
            openpose: folder with OpenPose's JSON files of this video, to take the poses from instead.
            figure: how poses are drawn, see `trainer prepare`.
            crop: part of the video to use, see `trainer prepare`.
            fps: how many pictures of a folder make a second, by default 30.
        """
        from trainer.fit import fit as fit_video

        folder = (out or user_subjects()) / name
        done = fit_video(
            video,
            run or Path("runs") / name,
            folder,
            name=name,
            size=size,
            pose=pose,
            openpose=openpose,
            figure=figure,
            crop=parse_crop(crop) if crop else None,
            fps=fps,
            config=config,
            machine=machine,
            upkeep=upkeep,
            consent=Consent(person=person, licence=licence),
        )
        if done:
            print(f"Subject {name} is in {folder}. Next: realtime run --subject {folder if out else name}")

    return fit


def prepare(
    video: Annotated[Positional[Path], tyro.conf.arg(metavar="VIDEO")],
    /,
    out: Path,
    size: str = "512",
    crop: str | None = None,
    pose: EstimatorName = "own",
    openpose: Path | None = None,
    figure: StyleName | None = None,
    fps: float | None = None,
    only_report: bool = False,
) -> None:
    """Find the person in every frame of a video, and the empty room behind them; say what the footage is worth.

    Run it again after a stop: it goes on where it was.

    Args:
        video: one person, filmed for minutes with a camera that stands still, head to toes in the picture; or a folder
            of numbered pictures.
        out: the run's folder; train and export take the same one. Its report.html is for you.
        size: of the picture in pixels, e.g. 512 (square) or 1024x512, multiples of 32; 512 is live on two cores.
        crop: part of the video to use, X,Y,WIDTH,HEIGHT in its pixels; by default the largest that holds the person.
        pose: what finds the person: this program, or the mediapipe library (needs pip install 'bodydouble[mediapipe]').
        openpose: folder with OpenPose's JSON files of this video, to take the poses from instead.
        figure: how poses are drawn: limbs, our own way, or edn, as the paper did from OpenPose's poses; by default edn
            with --openpose.
        fps: how many pictures of a folder make a second, by default 30.
        only_report: say what the footage is worth, no more.
    """
    from trainer.footage.prepare import prepare as prepare_video

    with disk_full_message("the prepared footage", out):
        about = prepare_video(
            video,
            out,
            size_px=parse_size(size),
            estimator=pose,
            openpose=openpose,
            figure=figure,
            crop=parse_crop(crop) if crop else None,
            fps=fps,
            only_report=only_report,
        )
    if about is None:
        print(f"Look at {out / 'report.html'}. Next: the same without --only-report")
    else:
        print(f"Look at {out / 'report.html'}")
        print(f"{about.frames} frames, the person in {about.seen}. Next: trainer train {out}")


def train_with(default: TrainConfig) -> Callable[..., None]:
    """The command `train` with the settings of a preset, each of which can be changed."""

    def train(
        run: RunFolder,
        /,
        preset: PresetName = "live",
        start_from: Path | None = None,
        config: Annotated[TrainConfig, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands] = default,
        machine: Annotated[Machine, tyro.conf.arg(name="")] = Machine(),
        upkeep: Annotated[CheckpointConfig, tyro.conf.arg(name="")] = CheckpointConfig(),
    ) -> None:
        """Train the generator, then the face network, then, with --joint-steps, both together.

        Ctrl-C saves; the same command goes on where it stopped.

        Args:
            run: folder made by `trainer prepare`. Previews (figure | truth | output) appear in it, and curves for
                TensorBoard.
            preset: the settings to begin with: live, compact and for an ordinary CPU; gpu, pix2pixHD's networks with
                all that we know; paper, Everybody Dance Now as published (prepare with --size 1024x512).
            start_from: folder of another run of the same networks, of this person smaller or of somebody else: its
                weights are what training starts with.
        """
        from trainer.run import train_run

        if train_run(run, config, machine=machine, upkeep=upkeep, start_from=start_from):
            print(f"Finished. Next: trainer export {run} --name NAME")

    return train


def export(
    run: RunFolder,
    /,
    name: str,
    out: Path | None = None,
    person: str = "not stated",
    licence: str = "not stated",
) -> None:
    """Make a subject of a trained run; `realtime run --subject NAME` then plays it.

    Args:
        run: folder of a finished `trainer train`.
        name: the subject's name.
        out: where to put the subject's folder; by default among your own subjects.
        person: who is shown, for the consent record.
        licence: what the subject may be used for, for the consent record.
    """
    from trainer.export.subject import export_run

    folder = (out or user_subjects()) / name
    with disk_full_message("the subject", folder.parent):
        export_run(run, name, folder, Consent(person=person, licence=licence))
    print(f"Subject {name} is in {folder}. Next: realtime run --subject {folder if out else name}")


def main() -> None:
    """Entry point."""
    parent = os.getppid()
    # Waiting threads sleep instead of spinning: beside any other program spinning made a step ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # The preset decides what every other setting is by default, so it has to be known before they are read.
    chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chosen.add_argument("--preset", default="live")
    preset = PRESETS.get(chosen.parse_known_args()[0].preset, LIVE)
    run_commands(
        {
            "fit": fit_with(preset),
            "prepare": prepare,
            "train": train_with(preset),
            "export": export,
            "evaluate": evaluate,
            "detector": detector,
        },
        prog="trainer",
        description="Turn a video of a person into a subject: fit does it all, prepare, train and export the parts.",
        is_told=lambda: first_process() or outlasts(parent),
    )
