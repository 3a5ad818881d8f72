"""From a finished run to a subject's folder: graphs, calibration clips, plate, thumbnail and manifest."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from engines.errors import UserError
from engines.files import sha256
from engines.load import load_engine
from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.skeleton import SKELETON_VERSION
from realtime.references.atlas import ATLAS
from realtime.subject import FORMAT, Consent, Manifest, Training, write_manifest
from realtime.video import write_picture
from trainer.config import TrainConfig
from trainer.export.int8 import add_int8
from trainer.export.onnx import export_face, export_generator
from trainer.footage.prepared import Footage, load_prepared
from trainer.networks.load import averaged_weights, build_face, build_generator
from trainer.settings import read_settings
from trainer.training.checkpoint import Checkpoints, State, measure_training_time
from trainer.training.face import face_side_px


class _Trained(NamedTuple):
    """What a finished run has trained: the best states of body and face."""

    config: TrainConfig
    footage: Footage
    body: State
    face: State


def export_run(run: Path, name: str, folder: Path, consent: Consent) -> None:
    """Write the subject's folder, whole or not at all; a subject that is there already is replaced.

    Raises:
        UserError: the run is not finished, or something else than a subject is in the way.
    """
    check_place(name, folder)
    trained = _load_trained(run)
    with _replaced(folder) as draft:
        _write_networks(trained, final_generator(run, trained.config), draft)
        write_picture(draft / "plate.png", trained.footage.plate)
        if trained.footage.atlas:
            trained.footage.atlas.save(draft / ATLAS)
        psnrs_db, last = _play_held_out(trained.footage, draft)
        write_picture(draft / "thumbnail.jpg", last)
        print(add_int8(trained.footage, draft))
        training = _describe_training(run, trained, psnrs_db)
        write_manifest(draft, _describe_subject(name, trained.footage, consent, training, draft))


def check_place(name: str, folder: Path) -> None:
    """Check that a subject of this name may be written to `folder`.

    Raises:
        UserError: the name has slashes, or something else than a subject is there.
    """
    if Path(name).name != name:
        raise UserError(f"{name!r} cannot be a subject's name: choose one without slashes.")
    if folder.exists() and not (folder / "subject.json").exists():
        raise UserError(f"{folder} exists and is not a subject: choose another --out.")


def final_generator(run: Path, config: TrainConfig) -> Path:
    """The generator's graph that subjects get; where body and face were trained together, `export_run` writes it."""
    return run / ("joint.onnx" if config.joint_steps else "generator.onnx")


def write_generator(body: State, config: TrainConfig, footage: Footage, path: Path) -> None:
    """Write the graph of the averaged generator in a checkpoint of the body."""
    network = build_generator(config.generator, background=config.background, references=config.references)
    network.load_state_dict(averaged_weights(body["ema"]))
    alone = None if config.temporal else footage.style.blank / 127.5 - 1
    export_generator(network, footage.plate, path, alone=alone)


def _load_trained(run: Path) -> _Trained:
    path, checkpoints = run / "config.json", run / "checkpoints"
    config = read_settings(path, TrainConfig) if path.exists() else None
    if config is None or not _is_finished(checkpoints, config):
        raise UserError(f"{run} is not trained to its end: run `trainer train {run}` again first.")
    about = load_prepared(run / "data")
    config = config.for_footage(about.size_px, static=about.static)
    footage = Footage(run / "data", background=config.background, references=config.references)
    body, face = (Checkpoints(checkpoints, stage).load_best() for stage in ("body", "face"))
    if config.joint_steps:
        joint = Checkpoints(checkpoints, "joint").load_best()
        # Their steps are those of all their training.
        body = {**joint["body"], "step": body["step"] + joint["step"]}
        face = {**joint["face"], "step": face["step"] + joint["step"]}
    return _Trained(config, footage, body, face)


def _is_finished(checkpoints: Path, config: TrainConfig) -> bool:
    joint = not config.joint_steps or Checkpoints(checkpoints, "joint").reached(config.joint_steps)
    return joint and Checkpoints(checkpoints, "face").reached(config.face_steps)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new, empty folder that takes the place of `folder` when the block ends, and is deleted when it fails."""
    draft, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)  # of an export that was killed here
            folder.rename(old)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write_networks(trained: _Trained, generator: Path, draft: Path) -> None:
    """Write generator.onnx, of the run's own file where that is final already, and face.onnx."""
    if trained.config.joint_steps:
        write_generator(trained.body, trained.config, trained.footage, generator)
    shutil.copy(generator, draft / "generator.onnx")
    face = build_face(trained.config.face)
    face.load_state_dict(averaged_weights(trained.face["ema"]))
    export_face(face, face_side_px(trained.footage.about.height_px), draft / "face.onnx")


def _play_held_out(footage: Footage, draft: Path) -> tuple[list[float], Rgb]:
    """Run the exported networks on their own outputs over the held-out footage.

    Returns:
        PSNR in dB of every frame, and the last output, uint8 [H, W, 3].
    """
    threads = torch.get_num_threads()
    generator, face = (
        load_engine(draft / file, precision="bf16", threads=threads) for file in ("generator.onnx", "face.onnx")
    )
    renderer = footage.renderer(generator, face)
    reader, psnrs_db, picture = footage.reader(), list[float](), footage.plate
    for index in footage.held_out(len(footage.poses)):
        picture = renderer.step(footage.figure(index))
        psnrs_db.append(psnr_db(picture, reader.read(index)))
    reader.close()
    return psnrs_db, picture


def _describe_training(run: Path, trained: _Trained, psnrs_db: list[float]) -> Training:
    about, tenth = trained.footage.about, max(1, len(psnrs_db) // 10)
    hours, machine = measure_training_time(run / "checkpoints")
    return Training(
        video=about.video,
        footage_px=about.source_px,
        crop=about.crop,
        footage_s=trained.footage.first_held_out / about.fps,
        hours=hours,
        machine=machine,
        generator=str(trained.config.generator),
        steps=trained.body["step"],
        face_steps=trained.face["step"],
        chain_psnr_db=(float(np.mean(psnrs_db[:tenth])), float(np.mean(psnrs_db[-tenth:]))),
    )


def _describe_subject(name: str, footage: Footage, consent: Consent, training: Training, draft: Path) -> Manifest:
    return Manifest(
        format=FORMAT,
        name=name,
        width_px=footage.about.width_px,
        height_px=footage.about.height_px,
        skeleton_version=SKELETON_VERSION,
        figure_style=footage.style.name,
        figure_version=footage.style.version,
        motion=footage.about.motion,
        proportions=footage.about.proportions,
        consent=consent,
        training=training,
        files={path.name: sha256(path) for path in sorted(draft.iterdir())},
    )
