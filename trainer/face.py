"""Stage two: the face network, trained with the body's generator frozen (EDN, section 3.3: FaceGAN).

Its material is what the exported generator renders, as live: so it mends the very faults that viewers see.
"""

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
from trainer.adversary import Adversary, adam, average, descend, set_rate
from trainer.config import TrainConfig
from trainer.footage import Footage
from trainer.metrics import psnr_db
from trainer.networks.compact import CompactFace
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.perceptual import PerceptualLoss

BATCH = 8


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

    def __init__(self, heads: Heads, held_out: Heads, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number = config.face_steps, 0
        self.side_px = heads.figures.shape[-1]
        self._heads, self._held_out, self._config = heads, held_out, config
        self.network = CompactFace(config.face.widths, config.face.blocks)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        nn.init.zeros_(self.network.trunk.head.weight)
        self.ema = average(self.network, config.ema_decay)
        self._optimizer = adam(self.network, config.rate)
        self._adversary = Adversary(6, 1, config)
        self._perceptual = PerceptualLoss()
        self._feather = torch.from_numpy(feather(self.side_px))

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name."""
        config = self._config
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step_number)
        chosen = torch.randint(len(self._heads.figures), (BATCH,), generator=rng)
        figure, picture, truth = self._take(self._heads, chosen)
        set_rate(self._optimizer, config.rate, self.step_number / self.steps)
        set_rate(self._adversary.optimizer, config.rate / 3, self.step_number / self.steps)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16):
            output = self._refine(self.network, figure, picture)
            perceived = self._perceptual(output[:2], truth[:2])
        losses = {
            "l1": config.l1_weight * (output - truth).abs().mean(),
            "vgg": config.perceptual_weight * perceived,
            **self._adversary.judge(figure, output, truth),
        }
        total = torch.stack([loss for name, loss in losses.items() if name != "d"]).sum()
        descend(self._optimizer, total, self.network.parameters())
        self.ema.update_parameters(self.network)
        self.step_number += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self, frames: int) -> tuple[tuple[float, float], Rgb]:
        """PSNR in dB of held-out heads without and with the network, and a sheet (figure | truth | without | with)."""
        chosen = torch.linspace(0, len(self._held_out.figures) - 1, min(frames, len(self._held_out.figures))).long()
        figure, picture, truth = self._take(self._held_out, chosen)
        output = self._refine(self.ema.module.eval(), figure, picture)
        columns = [to_bytes(part).permute(0, 2, 3, 1).numpy() for part in (figure, truth, picture, output)]
        rows = list(range(0, len(chosen), max(1, len(chosen) // 8)))[:8]
        sheet = np.concatenate([np.concatenate([column[row] for column in columns], axis=1) for row in rows])
        without, with_ = (
            float(np.mean([psnr_db(picture, truth) for picture, truth in zip(column, columns[1], strict=True)]))
            for column in columns[2:]
        )
        return (without, with_), sheet

    def _refine(self, network: nn.Module, figure: Tensor, picture: Tensor) -> Tensor:
        packed = torch.cat([to_patches(figure), to_patches(picture)], dim=1)
        residual = from_patches(network(packed.contiguous(memory_format=torch.channels_last)))
        return picture + self._feather * residual

    def _take(self, heads: Heads, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return from_bytes(heads.figures[chosen]), from_bytes(heads.pictures[chosen]), from_bytes(heads.truths[chosen])

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
