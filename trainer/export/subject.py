"""From a finished run to a subject's folder: graphs, calibration clips, plate, thumbnail and manifest."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from engines.errors import UserError
from engines.files import delete_abandoned, draft_of, errors_named, sha256
from engines.load import load_engine
from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pictures import write_picture
from realtime.references.atlas import ATLAS
from realtime.subject import FACE, FORMAT, GENERATOR, MANIFEST, PLATE, Manifest, Training, write_manifest
from trainer.config import ExportConfig, TrainConfig
from trainer.export.int8 import add_int8
from trainer.export.onnx import export_face, export_generator
from trainer.footage.atlas import ensure_atlas
from trainer.footage.prepared import Footage, load_prepared
from trainer.networks.load import averaged_weights, build_face, build_generator, load_base
from trainer.settings import read_settings
from trainer.training.checkpoint import Checkpoints, State, measure_training_time
from trainer.training.face import face_side_px

UNTRAINED = "untrained.onnx"
"""The graph in a run's folder that `export_untrained` writes."""


class _Trained(NamedTuple):
    """What a subject is made of: the best states of the body and, unless it was left out, of the face."""

    config: TrainConfig
    footage: Footage
    body: State
    face: State | None


def export_run(run: Path, config: ExportConfig) -> None:
    """Write the subject's folder, whole or not at all.

    Raises:
        UserError: the run is not finished, or something is in the way, see `check_place`.
    """
    check_place(run, config)
    trained = _load_trained(run)
    generator = final_generator(run, trained.config)
    if trained.config.joint_steps:
        write_generator(trained.body, trained.config, trained.footage, generator)
    _write_subject(trained, generator, run, config)


def export_untrained(run: Path, config: ExportConfig) -> None:
    """Write the folder of a subject that is played by the generator that comes with this package, as `export_run`.

    Raises:
        UserError: the footage is not prepared, or its camera moved; or something is in the way, see `check_place`.
    """
    check_place(run, config)
    about, preset = load_prepared(run / "data"), TrainConfig()
    if not about.static:
        raise UserError("Without training there has to be a plate, so a camera that stood still: train it instead.")
    ensure_atlas(run / "data")
    network = build_generator(preset.generator, background=True, references=True)
    assert load_base(network), "it has the preset's shape"
    body = {"ema": {f"module.{key}": value for key, value in network.state_dict().items()}, "step": 0}
    trained = _Trained(preset, Footage(run / "data", references=True), body, None)
    write_generator(body, preset, trained.footage, run / UNTRAINED)
    _write_subject(trained, run / UNTRAINED, run, config)


def _write_subject(trained: _Trained, generator: Path, run: Path, config: ExportConfig) -> None:
    """Write all of a subject's folder; `generator` is its graph."""
    with _replaced(config.folder) as draft:
        _write_networks(trained, generator, draft)
        write_picture(draft / PLATE, trained.footage.plate)
        if trained.footage.atlas:
            trained.footage.atlas.save(draft / ATLAS)
        psnrs_db, last = _play_held_out(trained.footage, draft)
        write_picture(draft / "thumbnail.jpg", last)
        print(add_int8(trained.footage, draft))
        training = _describe_training(run, trained, psnrs_db)
        write_manifest(draft, _describe_subject(config, trained.footage, training, draft))


def check_place(run: Path, config: ExportConfig) -> None:
    """Check that nothing is lost when the subject is written: what this run itself has made may be replaced.

    Raises:
        UserError: another subject is there, and is not to be replaced, or something else than a subject.
    """
    folder = config.folder
    if not folder.exists():
        return
    if not (folder / MANIFEST).exists():
        raise UserError(f"{folder} exists and is not a subject: choose another --out.")
    if not config.replace and not _is_made_by(run, folder):
        raise UserError(f"There is a subject {config.name} in {folder}: choose another --name, or say --replace.")


def _is_made_by(run: Path, folder: Path) -> bool:
    """Whether the subject in `folder` has a generator that this run has written."""
    exported, written = folder / GENERATOR, [run / name for name in (UNTRAINED, "generator.onnx", "joint.onnx")]
    return exported.exists() and sha256(exported) in [sha256(graph) for graph in written if graph.exists()]


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
        raise UserError(f"{run} is not trained to its end: run `trainer train {shlex.quote(str(run))}` again first.")
    about = load_prepared(run / "data")
    config = config.for_footage(about.size_px, static=about.static)
    footage = Footage(run / "data", background=config.background, references=config.references)
    body = Checkpoints(checkpoints, "body").load_best()
    face = Checkpoints(checkpoints, "face").load_best() if config.face_steps else None
    if config.joint_steps:
        joint = Checkpoints(checkpoints, "joint").load_best()
        # Their steps are those of all their training.
        body = {**joint["body"], "step": body["step"] + joint["step"]}
        face = face and {**joint["face"], "step": face["step"] + joint["step"]}
    return _Trained(config, footage, body, face)


def _is_finished(checkpoints: Path, config: TrainConfig) -> bool:
    joint = not config.joint_steps or Checkpoints(checkpoints, "joint").reached(config.joint_steps)
    last, steps = ("face", config.face_steps) if config.face_steps else ("body", config.steps)
    return joint and Checkpoints(checkpoints, last).reached(steps)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new, empty folder that takes the place of `folder` when the block ends, and is deleted when it fails."""
    hidden, old = folder.with_name(f".{folder.name}"), folder.with_name(f".{folder.name}.old")
    delete_abandoned(hidden)
    draft = draft_of(hidden)  # another process may write the same subject
    try:
        with errors_named(folder, draft):
            draft.mkdir(parents=True)
            yield draft
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)  # of an export that was killed here
            folder.rename(old)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write_networks(trained: _Trained, generator: Path, draft: Path) -> None:
    """Write generator.onnx and, if there is one, face.onnx."""
    shutil.copy(generator, draft / GENERATOR)
    if trained.face:
        face = build_face(trained.config.face)
        face.load_state_dict(averaged_weights(trained.face["ema"]))
        export_face(face, face_side_px(trained.footage.about.height_px), draft / FACE)


def _play_held_out(footage: Footage, draft: Path) -> tuple[list[float], Rgb]:
    """Run the exported networks on their own outputs over the held-out footage.

    Returns:
        PSNR in dB of every frame, and the last output, uint8 [H, W, 3].
    """
    threads = torch.get_num_threads()
    graphs = [file for file in (draft / GENERATOR, draft / FACE) if file.exists()]
    generator, *faces = (load_engine(graph, precision="bf16", threads=threads) for graph in graphs)
    renderer = footage.renderer(generator, faces[0] if faces else None)
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
        face_steps=trained.face["step"] if trained.face else 0,
        chain_psnr_db=(float(np.mean(psnrs_db[:tenth])), float(np.mean(psnrs_db[-tenth:]))),
    )


def _describe_subject(config: ExportConfig, footage: Footage, training: Training, draft: Path) -> Manifest:
    return Manifest(
        format=FORMAT,
        name=config.name,
        width_px=footage.about.width_px,
        height_px=footage.about.height_px,
        skeleton_version=footage.about.skeleton_version,
        figure_style=footage.style.name,
        figure_version=footage.style.version,
        motion=footage.about.motion,
        proportions=footage.about.proportions,
        consent=msgspec.structs.replace(config.consent, pictures=footage.atlas is not None),
        training=training,
        files={path.name: sha256(path) for path in sorted(draft.iterdir())},
    )
