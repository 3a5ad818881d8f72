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
from torch import Tensor, nn

from engines.load import load_engine
from realtime.frame import Rgb
from realtime.pose.measure import head_box
from realtime.render import Renderer, crop_head, feather
from trainer.adversary import Adversary
from trainer.config import TrainConfig
from trainer.descent import CLIP, adam, average, descend, means, set_rate
from trainer.fabric import Fabric
from trainer.footage import Footage
from trainer.metrics import psnr_db
from trainer.networks.load import build_face
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.perceptual import load_perceptual
from trainer.stage import Score

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


def face_side_px(height_px: int) -> int:
    """Side of the head's patch: about what a head near the camera takes, a multiple of 32."""
    return max(32, height_px // 4 // 32 * 32)


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
    """A residual for the head, LSGAN + feature matching + perceptual + L1 on the head alone."""

    name = "face"
    fps = 10.0
    pictures_per_step = BATCH

    def __init__(self, heads: Heads, held_out: Heads, config: TrainConfig, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number, self.pace = config.face_steps, 0, 1.0
        self.side_px = heads.figures.shape[-1]
        self._heads, self._held_out, self._config, self._fabric = heads, held_out, config, fabric
        self.network = build_face(config.face)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._residual = fabric.setup_module(self.network)
        self.ema = average(self.network, config.ema_decay)
        self._optimizer = adam(self.network, config.rate)
        self._adversary = Adversary(6, 1, config, fabric)
        self._perceptual = load_perceptual(config.vgg19).to(fabric.device)
        self._feather = torch.from_numpy(feather(self.side_px)).to(fabric.device)

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        config, fabric, done = self._config, self._fabric, self.step_number / self.steps
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step_number)
        share = BATCH // fabric.world_size
        first = share * fabric.global_rank
        chosen = torch.randint(len(self._heads.figures), (BATCH,), generator=rng)[first : first + share]
        figure, picture, truth = self._take(self._heads, chosen)
        set_rate(self._optimizer, self.pace * config.rate, done, config.fall)
        set_rate(self._adversary.optimizer, self.pace * config.discriminator_rate, done, config.fall)
        self.network.train()
        output = self._refine(self._residual, figure, picture)
        losses = {
            "l1": config.l1_weight * (output - truth).abs().mean(),
            "vgg": config.perceptual_weight * self._perceive(output, truth, PERCEIVED - first),
            **self._adversary.judge(figure, output, truth),
        }
        total = torch.stack([loss for name, loss in losses.items() if name != "d"]).sum()
        descend(fabric, self.network, self._optimizer, total, CLIP)
        self.ema.update_parameters(self.network)
        self.step_number += 1
        return means(fabric, losses)

    def _perceive(self, output: Tensor, truth: Tensor, count: int) -> Tensor:
        """The perceptual loss of our first `count` pictures, weighted for the mean over the processes."""
        count = min(count, len(output))
        if count <= 0:
            return torch.zeros((), device=output.device)
        with self._fabric.autocast():
            loss: Tensor = self._perceptual(output[:count], truth[:count])
        return loss * (self._fabric.world_size * count / PERCEIVED)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Mend held-out heads; shows figure | truth | without | with.

        Returns:
            PSNR without and with the network, and the perceptual distance with it.
        """
        chosen = torch.linspace(0, len(self._held_out.figures) - 1, min(frames, len(self._held_out.figures))).long()
        psnrs_db, distances = [], []
        network = self.ema.module.eval()
        for index in chosen:
            figure, picture, truth = self._take(self._held_out, index[None])
            output = self._refine(network, figure, picture)
            distances.append(float(self._perceptual(output, truth)))
            row = [to_bytes(part)[0].permute(1, 2, 0).cpu().numpy() for part in (figure, truth, picture, output)]
            psnrs_db.append([psnr_db(part, row[1]) for part in row[2:]])
            show(np.concatenate(row, axis=1))
        without_db, with_db = np.mean(psnrs_db, axis=0)
        return Score(float(without_db), float(with_db), float(np.mean(distances)))

    def _refine(self, network: nn.Module, figure: Tensor, picture: Tensor) -> Tensor:
        packed = torch.cat([to_patches(figure), to_patches(picture)], dim=1)
        residual = from_patches(network(packed.contiguous(memory_format=torch.channels_last)))
        return picture + self._feather * residual

    def _take(self, heads: Heads, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        device = self._fabric.device
        figures, pictures, truths = (part[chosen].to(device) for part in (heads.figures, heads.pictures, heads.truths))
        return from_bytes(figures), from_bytes(pictures), from_bytes(truths)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"step": self.step_number} | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.step_number = state["step"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def close(self) -> None:
        """Nothing to let go of: the heads are in memory."""

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "ema": self.ema,
            "optimizer": self._optimizer,
            "discriminator": self._adversary.network,
            "d_optimizer": self._adversary.optimizer,
        }
