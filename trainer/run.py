"""A whole run: stage after stage over one folder, and the subject that comes out of it.

RUN/
  data/        made by `prepare`
  config.json  `TrainConfig`
  body.pt, face.pt, *.jsonl, *.jpg
  generator.onnx
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch

from engines.errors import UserError
from engines.load import load_engine
from realtime.pose.measure import head_box
from realtime.pose.skeleton import SKELETON_VERSION
from realtime.render import Renderer
from realtime.subject import FORMAT, Consent, Manifest, Training, sha256, write_manifest
from trainer.body import BodyStage
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.export import export_face, export_generator
from trainer.face import FaceStage, face_side_px, render_heads
from trainer.footage import Footage
from trainer.loop import train
from trainer.metrics import psnr_db
from trainer.networks.load import build_face
from trainer.prepare import Prepared


def train_run(run: Path, config: TrainConfig, *, begin: Callable[[], object], start_from: Path | None = None) -> bool:
    """Train whatever is not trained yet.

    Args:
        run: the run's folder.
        config: what it was begun with.
        begin: called once the footage is known to be there.
        start_from: folder of another run, whose weights the body starts with where they fit.

    Returns:
        Whether everything is finished.
    """
    footage = Footage(run / "data", background=config.background)
    config = suited(config, footage.about)
    begin()
    if config.window_px:
        window_px = min(config.window_px, footage.about.height_px, footage.about.width_px)
        config = replace(config, window_px=window_px, perceptual_px=min(config.perceptual_px, window_px))
    body = BodyStage(footage, config)
    if config.coarse_steps and not (run / "body.pt").exists():
        coarse = BodyStage(footage, config, coarse=True)
        if not train(coarse, run):
            return False
        body.begin_with(coarse.state_dict())
    elif start_from is not None:
        body.begin_with(load_checkpoint(start_from / "body.pt"))
    if not train(body, run):
        return False
    generator = run / "generator.onnx"
    if not generator.exists():
        export_generator(body.ema.module, footage.plate, generator)
    split, threads = footage.training_frames, torch.get_num_threads()
    heads = render_heads(footage, generator, range(split), threads=threads)
    held_out = render_heads(footage, generator, range(split, len(footage.poses)), threads=threads)
    return train(FaceStage(heads, held_out, config), run)


def suited(config: TrainConfig, about: Prepared) -> TrainConfig:
    """The same where the camera stood still; elsewhere there is no room to know, nor a mask that tells it apart."""
    return config if about.static else replace(config, background=False, mask_weight=0.0)


def export_run(run: Path, name: str, folder: Path, *, person: str, licence: str) -> Path:
    """Write the subject's folder, whole or not at all.

    Raises:
        UserError: the run is not finished, or there is something in the way.
    """
    if Path(name).name != name:
        raise UserError(f"{name!r} cannot be a subject's name: choose one without slashes.")
    if folder.exists() and not (folder / "subject.json").exists():
        raise UserError(f"{folder} exists and is not a subject: choose another --out.")
    config = msgspec.json.decode((run / "config.json").read_bytes(), type=TrainConfig)
    footage = Footage(run / "data", background=config.background)
    body, face = load_checkpoint(run / "body.pt"), load_checkpoint(run / "face.pt")
    if face["step"] < config.face_steps:
        raise UserError(f"{run} is not trained to its end: run `trainer train {run}` again first.")
    draft = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shutil.copy(run / "generator.onnx", draft)
    network = build_face(config.face)
    network.load_state_dict(averaged(face["ema"]))
    export_face(network, face_side_px(footage.about.height_px), draft / "face.onnx")
    cv2.imwrite(str(draft / "plate.png"), footage.plate[:, :, ::-1])
    chain_psnr_db = _play(footage, draft)
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
            footage_s=footage.training_frames / footage.about.fps,
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


def averaged(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's own parameters from an `AveragedModel`'s state."""
    return {key.removeprefix("module."): value for key, value in state.items() if key.startswith("module.")}


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
    cv2.imwrite(str(folder / "thumbnail.jpg"), picture[:, :, ::-1])
    tenth = max(1, len(psnrs_db) // 10)
    return float(np.mean(psnrs_db[:tenth])), float(np.mean(psnrs_db[-tenth:]))
