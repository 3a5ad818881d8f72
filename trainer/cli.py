"""`trainer`: from a video of a person to a subject."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from engines.console import run_commands, stopping_says
from engines.errors import UserError
from engines.files import check_writable, disk_full_message
from engines.values import Inline
from realtime.fetch import check_film, is_url
from realtime.pose.figure.styles import StyleName
from realtime.references.atlas import ATLAS
from trainer.config import CheckpointConfig, ExportConfig, Machine, PrepareConfig, TrainConfig, first_process
from trainer.evaluate_cli import detector, evaluate
from trainer.run_folder import alone_in
from trainer.settings import PRESETS, Overrides, PresetName, list_settings

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]

EXAMPLES = {
    "fit": "trainer fit eva.mp4 --name eva --person 'Eva, who agreed' --licence 'this show only'",
    "prepare": "trainer prepare eva.mp4 --out runs/eva --only-report",
    "train": "trainer train runs/eva --steps 20000 --set batch=4 --set generator.widths=64,128,256",
    "export": "trainer export runs/eva --name eva",
    "settings": "trainer settings --preset gpu > my.toml",
    "evaluate": "trainer evaluate --subject alice --video alice.mp4 --last-s 40",
    "detector": "trainer detector train --real eva.mp4 --out eva.safetensors",
    "detector train": "trainer detector train --real eva.mp4 --subject eva --out eva.safetensors",
    "detector run": "trainer detector run dance.mp4 --model eva.safetensors",
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
    subject: Annotated[ExportConfig, Inline],
    train: Annotated[TrainOptions, Inline] = TrainOptions(),
    run: Folder = None,
    instant: bool = False,
) -> None:
    """Make a subject of a video: prepare, train and export. Ctrl-C saves; the same command goes on.

    Args:
        prepare: What to prepare.
        subject: What to write.
        train: How to train.
        run: Folder for everything that comes before; by default runs/NAME.
        instant: Train nothing: the generator of this package, trained on many people, plays the subject in minutes.
            The same command without it trains, and replaces the subject.
    """
    _check_footage(prepare)
    folder = run or Path("runs") / subject.name
    check_writable(subject.folder.parent)
    if instant and (train.steps is not None or train.preset != "live"):
        raise UserError("--instant trains nothing: leave --steps and --preset out, or train without it.")
    overrides = train.overrides()
    prepare = overrides.apply(prepare, "figure", "fps")
    config, machine, checkpointing = train.settings(overrides)
    from trainer.fit import fit as fit_video  # the others of its kind are as late: it takes seconds
    from trainer.footage.prepare import kept

    with alone_in(folder), stopping_says(lambda: kept(folder)):
        done = fit_video(
            prepare,
            folder,
            subject,
            train=None if instant else config,
            machine=machine,
            checkpointing=checkpointing,
        )
    if done:
        _say_finished(subject)
    else:
        _say_stopped(folder)


def prepare(
    config: Annotated[PrepareConfig, Inline],
    out: Annotated[Path, arg(metavar="RUN")],
    figure: Annotated[StyleName | None, arg(help_behavior_hint="")] = None,
    fps: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None,
    only_report: bool = False,
) -> None:
    """Find the person in every frame of a video, and the background without the person; report on the footage.

    Run it again after a stop: it goes on where it was.

    Args:
        config: What to prepare.
        out: The run's folder; train and export take the same one. Its report.html is for you.
        figure: How poses are drawn: limbs, our own way, or edn, the paper's; by default edn with --openpose.
        fps: Pictures per second of a folder of pictures; by default 30.
        only_report: Stop once the report is written.
    """
    if only_report:
        config.check_there()
    else:
        _check_footage(config)
    from trainer.footage.prepare import kept, report_footage
    from trainer.footage.prepare import prepare as prepare_video

    chosen = replace(config, figure=figure, fps=fps)
    with alone_in(out), disk_full_message("the prepared footage", out), stopping_says(lambda: kept(out)):
        if only_report:
            reasons = report_footage(chosen, out).reasons
            verdict = f"It cannot be used: {'; '.join(reasons)}." if reasons else "Next: the same without --only-report"
            print(f"Look at {out / 'report.html'}. {verdict}")
            return
        about = prepare_video(chosen, out)
    print(f"Look at {out / 'report.html'}")
    print(f"{about.frames} frames, the person in {about.seen}. Next: trainer train {shlex.quote(str(out))}")


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
    from trainer.footage.prepared import load_prepared

    config, machine, checkpointing = options.settings(options.overrides())
    load_prepared(run / "data")
    from trainer.run import train_run

    with alone_in(run):
        finished = train_run(run, config, machine=machine, checkpointing=checkpointing, start_from=start_from)
    if finished:
        print(f"Finished. Next: trainer export {shlex.quote(str(run))} --name NAME")
    else:
        _say_stopped(run)


def export(run: RunFolder, /, subject: Annotated[ExportConfig, Inline]) -> None:
    """Make a subject of a trained run; `realtime run --subject NAME` then plays it.

    Args:
        run: Folder of a finished `trainer train`.
        subject: What to write.
    """
    from trainer.footage.prepared import load_prepared

    load_prepared(run / "data")
    check_writable(subject.folder.parent)
    from trainer.export.subject import export_run

    with (
        disk_full_message("the subject", subject.folder.parent),
        stopping_says(lambda: f"No subject was written; what was trained is kept in {run}."),
    ):
        export_run(run, subject)
    _say_finished(subject)


def _check_footage(config: PrepareConfig) -> None:
    """Tell of footage that is missing, or too short, before anything that takes long, as PyTorch does."""
    config.check_there()
    if not is_url(config.video):
        check_film(config.video)
    if Path(config.video).is_file():
        from trainer.footage.acceptance import check_length
        from trainer.footage.source import VideoFile

        check_length(VideoFile(Path(config.video)))


def _say_finished(subject: ExportConfig) -> None:
    folder, typed = subject.folder, str(subject.folder) if subject.out else subject.name
    print(f"Subject {subject.name} is in {folder}. Next: realtime run --subject {shlex.quote(typed)}")
    if (folder / ATLAS).exists():
        print("It contains pictures of the person: give it to nobody whom they would not give those.")


def _say_stopped(run: Path) -> None:
    """The training was stopped, and has saved."""
    if first_process():
        print(f"Stopped. What was trained is kept in {run}; the same command goes on from there.")


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
