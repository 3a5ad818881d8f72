"""A whole run: stage after stage over one folder, and the subject that comes out of it.

RUN/
  data/        made by `prepare`
  config.json  `TrainConfig`; fit.json: what `fit` was told
  checkpoints/, previews/, tensorboard/, *.jsonl   made by `train`, for each stage
  generator.onnx, and joint.onnx if body and face were trained together
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engines.errors import UserError
from engines.load import load_engine
from realtime.pose.measure import head_box
from realtime.pose.skeleton import SKELETON_VERSION
from realtime.render import Renderer
from realtime.subject import FORMAT, Consent, Manifest, Training, sha256, write_manifest
from trainer.config import TrainConfig
from trainer.export.int8 import add_int8
from trainer.export.onnx import export_face, export_generator
from trainer.files import write_picture
from trainer.footage.prepared import Footage, Prepared
from trainer.metrics import psnr_db
from trainer.networks.load import build_face, build_generator
from trainer.options import CheckpointConfig, Machine
from trainer.settings import check_place, check_settings, read_settings, write_settings
from trainer.training.body import BodyStage
from trainer.training.checkpoint import Checkpoints, State, load_checkpoint
from trainer.training.distributed import together
from trainer.training.fabric import assemble
from trainer.training.face import BATCH as FACE_BATCH
from trainer.training.face import FaceStage, Heads, render_heads
from trainer.training.face_trainer import face_side_px
from trainer.training.joint import JointStage
from trainer.training.loop import train
from trainer.training.training_time import measure_training_time


def train_run(
    run: Path,
    config: TrainConfig,
    *,
    machine: Machine,
    upkeep: CheckpointConfig,
    start_from: Path | None = None,
) -> bool:
    """Train whatever is not trained yet.

    Args:
        run: the run's folder.
        config: what it was begun with.
        machine: where to train.
        upkeep: how often to look and to save.
        start_from: folder of another run, whose weights the body starts with where they fit.

    Returns:
        Whether everything is finished; of several processes only the first one says so.

    Raises:
        UserError: there is no footage, or the run was begun with another `config`.
    """
    footage = Footage(run / "data", background=config.background)
    check_settings(run / "config.json", config)
    fabric = assemble(machine, config.batch, FACE_BATCH)
    with together(fabric):
        if fabric.is_global_zero:
            write_settings(run / "config.json", config)
    config = suited(config, footage.about)
    if config.window_px:
        window_px = min(config.window_px, footage.about.height_px, footage.about.width_px)
        config = replace(config, window_px=window_px, perceptual_px=min(config.perceptual_px, window_px))
    body = BodyStage(footage, config, fabric)
    begun = Checkpoints(run / "checkpoints", body.name).exist
    if config.coarse_steps and not begun:
        coarse = BodyStage(footage, config, fabric, coarse=True)
        if not train(coarse, run, fabric, upkeep):
            return False
        body.begin_with(coarse.state_dict())
    elif start_from is not None:
        body.begin_with(_best(start_from, body.name))
    if not train(body, run, fabric, upkeep):
        return False
    if not _is_trained(run, "face", config.face_steps):
        with together(fabric):
            heads = _heads(run, config, footage) if fabric.is_global_zero else None
        heads = fabric.broadcast(heads)
        assert heads
        if not train(FaceStage(*heads, config, fabric), run, fabric, upkeep):
            return False
    if config.joint_steps and not _is_trained(run, "joint", config.joint_steps):
        joint = JointStage(footage, config, fabric)
        fabric.barrier()  # the best of the others may still be on its way to the disk
        if not Checkpoints(run / "checkpoints", joint.name).exist:
            joint.begin_with(_best(run, "body"), _best(run, "face"))
        if not train(joint, run, fabric, upkeep):
            return False
    return fabric.is_global_zero


def suited(config: TrainConfig, about: Prepared) -> TrainConfig:
    """The same where the camera stood still; elsewhere there is no room to know, nor a mask that tells it apart."""
    return config if about.static else replace(config, background=False, mask_weight=0.0)


def export_run(run: Path, name: str, folder: Path, *, person: str, licence: str) -> Path:
    """Write the subject's folder, whole or not at all.

    Raises:
        UserError: the run is not finished, or there is something in the way.
    """
    check_place(name, folder)
    path = run / "config.json"
    config = read_settings(path, TrainConfig) if path.exists() else None
    if config is None or not _is_finished(run, config):
        raise UserError(f"{run} is not trained to its end: run `trainer train {run}` again first.")
    footage = Footage(run / "data", background=config.background)
    body, face = _best(run, "body"), _best(run, "face")
    draft = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    graph = final_generator(run, config)
    if config.joint_steps:
        body, face = _together(body, face, _best(run, "joint"))
        _write_generator(body, config, footage, graph)
    shutil.copy(graph, draft / "generator.onnx")
    network = build_face(config.face)
    network.load_state_dict(averaged(face["ema"]))
    export_face(network, face_side_px(footage.about.height_px), draft / "face.onnx")
    write_picture(draft / "plate.png", footage.plate)
    chain_psnr_db = _play(footage, draft)
    hours, machine = measure_training_time(run / "checkpoints")
    learnt = footage.poses[: footage.training_frames]
    print(add_int8(draft, learnt, footage.style, footage.plate, threads=torch.get_num_threads()))
    manifest = Manifest(
        format=FORMAT,
        name=name,
        width_px=footage.about.width_px,
        height_px=footage.about.height_px,
        skeleton_version=SKELETON_VERSION,
        figure_style=footage.style.name,
        figure_version=footage.style.version,
        motion=footage.about.motion,
        proportions=footage.about.proportions,
        consent=Consent(person=person, licence=licence),
        training=Training(
            video=footage.about.video,
            footage_px=footage.about.source_px,
            crop=footage.about.crop,
            footage_s=footage.training_frames / footage.about.fps,
            hours=hours,
            machine=machine,
            generator=str(config.generator),
            steps=body["step"],
            face_steps=face["step"],
            chain_psnr_db=chain_psnr_db,
        ),
        files={path.name: sha256(path) for path in sorted(draft.iterdir())},
    )
    write_manifest(draft, manifest)
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def final_generator(run: Path, config: TrainConfig) -> Path:
    """Where the generator that subjects get is, once the run is exported."""
    return run / ("joint.onnx" if config.joint_steps else "generator.onnx")


def averaged(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's own parameters from an `AveragedModel`'s state."""
    return {key.removeprefix("module."): value for key, value in state.items() if key.startswith("module.")}


def _heads(run: Path, config: TrainConfig, footage: Footage) -> tuple[Heads, Heads]:
    """The heads that the best generator renders, for training and held out."""
    path = run / "generator.onnx"
    if not path.exists():
        _write_generator(_best(run, "body"), config, footage, path)
    split, threads = footage.training_frames, torch.get_num_threads()
    training = render_heads(footage, path, range(split), threads=threads)
    return training, render_heads(footage, path, range(split, len(footage.poses)), threads=threads)


def _write_generator(body: State, config: TrainConfig, footage: Footage, path: Path) -> None:
    network = build_generator(config.generator, background=config.background)
    network.load_state_dict(averaged(body["ema"]))
    export_generator(network, footage.plate, path)


def _together(body: State, face: State, joint: State) -> tuple[State, State]:
    """What the joint training has made of both; their steps are those of all their training."""
    both = (body, joint["body"]), (face, joint["face"])
    one, two = ({**after, "step": before["step"] + joint["step"]} for before, after in both)
    return one, two


def _is_finished(run: Path, config: TrainConfig) -> bool:
    return _is_trained(run, "face", config.face_steps) and (
        not config.joint_steps or _is_trained(run, "joint", config.joint_steps)
    )


def _is_trained(run: Path, stage: str, steps: int) -> bool:
    newest = Checkpoints(run / "checkpoints", stage).newest()
    return newest is not None and bool(newest["step"] >= steps)


def _best(run: Path, stage: str) -> State:
    """The state in which the stage did best on held-out footage."""
    return load_checkpoint(Checkpoints(run / "checkpoints", stage).best)


def _play(footage: Footage, folder: Path) -> tuple[float, float]:
    """Play the held-out footage with the graphs in `folder`, exactly as live, and keep a picture as the thumbnail.

    Returns:
        PSNR in dB of the first and of the last tenth of the chain.
    """
    threads = torch.get_num_threads()
    generator, face = (
        load_engine(folder / file, precision="bf16", threads=threads) for file in ("generator.onnx", "face.onnx")
    )
    renderer = Renderer(generator, face, footage.plate, blank=footage.style.blank)
    reader, psnrs_db = footage.reader(), []
    for index in range(footage.training_frames, len(footage.poses)):
        pose = footage.poses[index]
        picture = renderer.step(footage.figure(index), head_box(pose) if pose else None)
        psnrs_db.append(psnr_db(picture, reader.read(index)))
    reader.close()
    write_picture(folder / "thumbnail.jpg", picture)
    tenth = max(1, len(psnrs_db) // 10)
    return float(np.mean(psnrs_db[:tenth])), float(np.mean(psnrs_db[-tenth:]))
