"""From a video to a subject in one go: prepare, train, export; whatever is finished is skipped."""

from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
from rich.console import Console

from engines.errors import UserError
from engines.files import disk_full_message, sha256
from realtime.subject import GENERATOR, load_subject
from trainer.config import (
    CheckpointConfig,
    CompactConfig,
    ExportConfig,
    Machine,
    PrepareConfig,
    TrainConfig,
    first_process,
    several_started,
)
from trainer.export.subject import UNTRAINED, check_place, export_run, export_untrained, final_generator
from trainer.footage.prepare import prepare
from trainer.footage.source import FootageSource, open_footage
from trainer.run import train_run
from trainer.settings import check_settings, write_settings

PREPARE_FRAME_S, BODY_STEP_S, FACE_STEP_S = 0.045, 1.3, 0.3
"""Seconds that a frame to prepare and a step of the preset live take on two cores, roughly."""


@dataclass(frozen=True, kw_only=True)
class PreparedFrom(PrepareConfig):
    """What a run's footage was prepared from, fit.json: files by their names, for folders may be moved."""

    video_bytes: int

    @classmethod
    def of(cls, config: PrepareConfig, source: FootageSource) -> "PreparedFrom":
        """The record of footage that is prepared by `config`."""
        chosen = {field.name: getattr(config, field.name) for field in fields(config)}
        openpose = config.openpose and Path(config.openpose.name)
        names = {"video": source.path.name, "openpose": openpose, "figure": config.style_name}
        return cls(**(chosen | names), video_bytes=source.size_bytes)


def fit(
    config: PrepareConfig,
    run: Path,
    subject: ExportConfig,
    *,
    train: TrainConfig | None,
    machine: Machine,
    checkpointing: CheckpointConfig,
) -> bool:
    """Make a subject, with everything that comes before it in `run`.

    What is not explained here is as in `prepare`, `train_run` and `export_run`. Without settings to `train` with, the
    subject is that of `export_untrained`; the same run can be trained afterwards.

    Returns:
        Whether the subject is there; False after Ctrl-C, and in all processes but the first.

    Raises:
        UserError: the video or the settings will not do, or the run was begun with others.
    """
    check_place(run, subject)
    source = open_footage(config.video, config.fps, run)
    record = PreparedFrom.of(config, source)
    check_settings(run / "fit.json", record)
    if train:
        check_settings(run / "config.json", train)
    prepared = (run / "data" / "prepare.json").exists() and (run / "fit.json").exists()
    if not prepared and several_started():
        raise UserError("Several processes were started from outside: run this once without, to prepare the video.")
    if first_process():
        _announce(source, run, subject.folder, train, prepared=prepared)
    if not prepared:
        with disk_full_message("the prepared footage", run):
            prepare(config, run)
        write_settings(run / "fit.json", record)  # only now, so that a mistake in them can be mended
    if train and not train_run(run, train, machine=machine, checkpointing=checkpointing):
        return False
    generator, export = (final_generator(run, train), export_run) if train else (run / UNTRAINED, export_untrained)
    if not _is_exported(generator, subject):
        with disk_full_message("the subject", subject.folder.parent):
            export(run, subject)
    return True


def _announce(source: FootageSource, run: Path, folder: Path, config: TrainConfig | None, *, prepared: bool) -> None:
    """Say what will happen and roughly how long it takes; without a `config` nothing is trained."""
    frames = source.frames
    lines = (
        f"{source.path.name}, {_time(frames / source.fps)}, becomes the subject {folder.name}:",
        f"  1. prepare  {frames} frames, {'done' if prepared else 'about ' + _time(frames * PREPARE_FRAME_S)}",
        f"  2. train    {_training(config, run) if config else 'not at all: the generator of this package plays'}",
        f"  3. export   to {folder}",
        f"All of it is kept in {run}. Ctrl-C saves; the same command goes on.",
    )
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _training(config: TrainConfig, run: Path) -> str:
    """What will be trained, and how long it takes."""
    joint = f" + {config.joint_steps}" if config.joint_steps else ""
    steps = f"{config.coarse_steps + config.steps} + {config.face_steps}{joint} steps"
    train_s = (config.steps + config.joint_steps) * BODY_STEP_S + config.face_steps * FACE_STEP_S
    compact = isinstance(config.generator, CompactConfig)
    train_time = f"about {_time(train_s)} on two cores" if compact else "hours on a GPU"
    return f"{steps}, {train_time}; previews in {run / 'previews'}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _is_exported(generator: Path, subject: ExportConfig) -> bool:
    """Whether the subject is there, whole, with this run's generator and this consent."""
    try:
        manifest = load_subject(str(subject.folder)).manifest
    except UserError:
        return False
    agreed = msgspec.structs.replace(manifest.consent, pictures=False) == subject.consent
    return agreed and generator.exists() and manifest.files[GENERATOR] == sha256(generator)
