"""`trainer`: from a video of a person to a subject."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from engines.console import run_commands
from engines.files import disk_full_message
from realtime.pose.figure.styles import StyleName
from realtime.subject import Consent, user_subjects
from trainer.config import CheckpointConfig, Machine, PrepareConfig, TrainConfig, first_process
from trainer.evaluate_cli import Inline, detector, evaluate
from trainer.settings import PRESETS, Overrides, PresetName, list_settings

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
NOT_STATED = Consent(person="not stated", licence="not stated")

EXAMPLES = {
    "fit": "trainer fit alice.mp4 --name alice --person 'Alice, fictional' --licence CC0-1.0",
    "prepare": "trainer prepare alice.mp4 --out runs/alice --only-report",
    "train": "trainer train runs/alice --steps 20000 --set batch=4 --set generator.widths=64,128,256",
    "export": "trainer export runs/alice --name alice",
    "settings": "trainer settings --preset gpu > my.toml",
    "evaluate": "trainer evaluate --subject alice --video alice.mp4 --last-s 40",
    "detector": "trainer detector train --real alice.mp4 --out alice.safetensors",
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Which settings to train with, and where."""

    preset: PresetName = "live"
    """Settings to begin with: live, for an ordinary CPU; gpu, large networks; paper, as published (--size 1024x512)."""
    steps: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Optimizer steps of the body's generator; by default the preset's."""
    devices: Annotated[int | Literal["auto"] | None, arg(metavar="INT|auto", help_behavior_hint="")] = None
    """GPUs, or processes, per machine, which share the batch; by default those that are there or were started."""
    assignments: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="NAME=VALUE")] = ()
    """Change any other setting; `trainer settings` lists them all."""
    config: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="")] = None
    """TOML file with settings; --set, --steps and --devices come after it."""

    def overrides(self) -> Overrides:
        """What is changed of the preset; `settings` takes what is for training."""
        options = {"steps": self.steps, "devices": self.devices}
        given = [f"{name}={value}" for name, value in options.items() if value is not None]
        return Overrides([*self.assignments, *given], self.config)

    def settings(self, overrides: Overrides) -> tuple[TrainConfig, Machine, CheckpointConfig]:
        """The preset and the defaults of the others, changed; nothing may be left over in `overrides` then."""
        changed = (
            overrides.apply(PRESETS[self.preset]),
            overrides.apply(Machine()),
            overrides.apply(CheckpointConfig()),
        )
        overrides.check_applied()
        return changed


def fit(
    prepare: Annotated[PrepareConfig, Inline],
    name: str,
    train: Annotated[TrainOptions, Inline] = TrainOptions(),
    out: Folder = None,
    run: Folder = None,
    consent: Annotated[Consent, Inline] = NOT_STATED,
) -> None:
    """Make a subject of a video: prepare, train and export. Ctrl-C saves; the same command goes on.

    Args:
        prepare: What to prepare.
        name: The subject's name.
        train: How to train.
        out: Where to put the subject's folder; by default among your own subjects.
        run: Folder for everything that comes before; by default runs/NAME.
        consent: For the manifest.
    """
    from trainer.fit import fit as fit_video

    overrides = train.overrides()
    prepare = overrides.apply(prepare, "figure")
    config, machine, checkpointing = train.settings(overrides)
    folder = (out or user_subjects()) / name
    done = fit_video(
        prepare,
        run or Path("runs") / name,
        folder,
        name=name,
        train=config,
        machine=machine,
        checkpointing=checkpointing,
        consent=consent,
    )
    if done:
        print(f"Subject {name} is in {folder}. Next: realtime run --subject {folder if out else name}")


def prepare(
    config: Annotated[PrepareConfig, Inline],
    out: Annotated[Path, arg(metavar="RUN")],
    figure: Annotated[StyleName | None, arg(help_behavior_hint="")] = None,
    only_report: bool = False,
) -> None:
    """Find the person in every frame of a video, and the background without the person; report on the footage.

    Run it again after a stop: it goes on where it was.

    Args:
        config: What to prepare.
        out: The run's folder; train and export take the same one. Its report.html is for you.
        figure: How poses are drawn: limbs, our own way, or edn, the paper's; by default edn with --openpose.
        only_report: Stop once the report is written.
    """
    from trainer.footage.prepare import prepare as prepare_video

    with disk_full_message("the prepared footage", out):
        about = prepare_video(replace(config, figure=figure), out, only_report=only_report)
    if about is None:
        print(f"Look at {out / 'report.html'}. Next: the same without --only-report")
    else:
        print(f"Look at {out / 'report.html'}")
        print(f"{about.frames} frames, the person in {about.seen}. Next: trainer train {out}")


def train(
    run: RunFolder,
    /,
    options: Annotated[TrainOptions, Inline] = TrainOptions(),
    start_from: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None,
) -> None:
    """Train the generator, then the face network, then, with the setting joint_steps, both together.

    Ctrl-C saves; the same command goes on where it stopped.

    Args:
        run: Folder made by `trainer prepare`; gets previews (figure | truth | output) and curves for TensorBoard.
        options: How to train.
        start_from: Another run of the same networks, smaller or of somebody else, whose weights to start with.
    """
    from trainer.run import train_run

    config, machine, checkpointing = options.settings(options.overrides())
    if train_run(run, config, machine=machine, checkpointing=checkpointing, start_from=start_from):
        print(f"Finished. Next: trainer export {run} --name NAME")


def export(run: RunFolder, /, name: str, out: Folder = None, consent: Annotated[Consent, Inline] = NOT_STATED) -> None:
    """Make a subject of a trained run; `realtime run --subject NAME` then plays it.

    Args:
        run: Folder of a finished `trainer train`.
        name: The subject's name.
        out: Where to put the subject's folder; by default among your own subjects.
        consent: For the manifest.
    """
    from trainer.export.subject import export_run

    folder = (out or user_subjects()) / name
    with disk_full_message("the subject", folder.parent):
        export_run(run, name, folder, consent)
    print(f"Subject {name} is in {folder}. Next: realtime run --subject {folder if out else name}")


def settings(preset: PresetName = "live") -> None:
    """Print all settings of a preset, as a TOML file for --config; --set changes them one by one.

    Args:
        preset: live, gpu or paper, see `trainer train`.
    """
    print(list_settings(PRESETS[preset], Machine(), CheckpointConfig()), end="")


def main() -> None:
    """Entry point."""
    # Waiting threads sleep instead of spinning: beside any other program spinning made a step ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    run_commands(
        {
            "fit": fit,
            "prepare": prepare,
            "train": train,
            "export": export,
            "settings": settings,
            "evaluate": evaluate,
            "detector": detector,
        },
        prog="trainer",
        description="Make a subject of a video of a person: fit does it all, prepare, train and export its parts.",
        examples=EXAMPLES,
        # What one process finds, all find: one per machine tells the user.
        is_told=lambda: first_process(on_machine=True),
    )
