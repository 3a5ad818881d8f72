"""Stage two: the face network, trained with the body's generator frozen (EDN, section 3.3: FaceGAN).

Its material is what the exported generator renders, as live: so it mends the very faults that viewers see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from engines.load import load_engine
from realtime.frame import Rgb
from realtime.pose.measure import head_box
from realtime.render import Renderer, crop_head
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.metrics import psnr_db
from trainer.networks.patches import from_bytes, to_bytes
from trainer.training.fabric import Fabric
from trainer.training.face_trainer import FaceTrainer, face_side_px
from trainer.training.optimize import CLIP, means, optimizer_step, total
from trainer.training.stage import Score

BATCH = 8
PERCEIVED = 2
"""So many of the batch go through the perceptual network: it is a heavy one."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Head patches of N frames, uint8 [N, 3, F, F]."""

    figures: Tensor
    pictures: Tensor
    """As the body's generator rendered them."""
    truths: Tensor


def render_heads(footage: Footage, generator: Path, indices: range, *, threads: int, every: int = 2) -> Heads:
    """Run the exported generator over consecutive frames and cut out the heads of every `every`-th."""
    side = face_side_px(footage.about.height_px)
    engine = load_engine(generator, precision="bf16", threads=threads)
    renderer = Renderer(engine, None, footage.plate, blank=footage.style.blank)
    reader = footage.reader()
    rows: list[tuple[Rgb, Rgb, Rgb]] = []
    for index in track(indices, description="Rendering heads"):
        figure, pose = footage.figure(index), footage.poses[index]
        picture = renderer.step(figure, None)
        if pose is not None and index % every == 0:
            head = head_box(pose)
            rows.append(tuple(crop_head(source, head, side) for source in (figure, picture, reader.read(index))))  # type: ignore[arg-type]
    reader.close()
    return Heads(
        *(torch.from_numpy(np.stack(column)).permute(0, 3, 1, 2).contiguous() for column in zip(*rows, strict=True))
    )


class FaceStage:
    """The face network alone, on heads that the finished generator has rendered."""

    name = "face"
    fps = 10.0
    pictures_per_step = BATCH

    def __init__(self, heads: Heads, held_out: Heads, config: TrainConfig, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number, self.lr_scale = config.face_steps, 0, 1.0
        self._heads, self._held_out, self._config, self._fabric = heads, held_out, config, fabric
        self.face_trainer = FaceTrainer(heads.figures.shape[-1], config, fabric)

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        fabric, face_trainer = self._fabric, self.face_trainer
        rng = torch.Generator().manual_seed(self._config.seed * 1_000_003 + self.step_number)
        share = BATCH // fabric.world_size
        first = share * fabric.global_rank
        chosen = torch.randint(len(self._heads.figures), (BATCH,), generator=rng)[first : first + share]
        figure, picture, truth = self._take(self._heads, chosen)
        face_trainer.prepare(self.step_number / self.steps, self.lr_scale)
        seen = min(max(0, PERCEIVED - first), share)
        output = face_trainer.mend(figure, picture)
        losses = face_trainer.losses(figure, output, truth, seen=seen, seen_share=fabric.world_size * seen / PERCEIVED)
        optimizer_step(fabric, total(losses), face_trainer.trainable, clip=CLIP)
        face_trainer.ema.update_parameters(face_trainer.network)
        self.step_number += 1
        return means(fabric, losses)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Mend held-out heads; shows figure | truth | without | with.

        Returns:
            PSNR without and with the network, and the perceptual distance with it.
        """
        chosen = torch.linspace(0, len(self._held_out.figures) - 1, min(frames, len(self._held_out.figures))).long()
        psnrs_db, distances = [], []
        for index in chosen:
            figure, picture, truth = self._take(self._held_out, index[None])
            output = self.face_trainer.mend(figure, picture, averaged=True)
            distances.append(float(self.face_trainer.perceptual(output, truth)))
            row = [to_bytes(part)[0].permute(1, 2, 0).cpu().numpy() for part in (figure, truth, picture, output)]
            psnrs_db.append([psnr_db(part, row[1]) for part in row[2:]])
            show(np.concatenate(row, axis=1))
        without_db, with_db = np.mean(psnrs_db, axis=0)
        return Score(float(without_db), float(with_db), float(np.mean(distances)))

    def _take(self, heads: Heads, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        device = self._fabric.device
        figures, pictures, truths = (part[chosen].to(device) for part in (heads.figures, heads.pictures, heads.truths))
        return from_bytes(figures), from_bytes(pictures), from_bytes(truths)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"step": self.step_number, **self.face_trainer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.step_number = state["step"]
        self.face_trainer.load_state_dict(state)

    def close(self) -> None:
        """Nothing to let go of: the heads are in memory."""
