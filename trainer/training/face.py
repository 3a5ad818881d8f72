"""Stage two: the face network, trained with the body's generator frozen (EDN, section 3.3: FaceGAN).

It is trained on heads that the exported generator renders, as live: so it learns to correct the faults that viewers
see. `FaceTrainer` is also a part of the joint stage.

Letters: N frames, B heads in a step, F the side of the heads' crops.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from engines.load import load_engine
from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.measure import HeadBox
from realtime.render import crop_head, feather
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.load import build_face
from trainer.networks.patches import from_bytes, from_patches, to_patches, to_rgb
from trainer.training.distributed import Fabric
from trainer.training.losses import DiscriminatorTrainer, StepLosses, load_perceptual
from trainer.training.optimize import CLIP_NORM, TrainedNetwork, moving_average, optimizer_step
from trainer.training.stage import Score

FACE_BATCH = 8
"""Heads in a step, over all processes."""
CHAIN_FRAMES = 600
"""Frames that the generator renders on its own outputs before it starts anew, to give all cores something to do."""
SEEN_TIMES = 2
"""How often a head is seen in the mean, at least: more heads than so are not rendered."""
PERCEPTUAL_HEADS = 2
"""So many of them go through the perceptual network, for its cost."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Crops around the heads in N frames, uint8 [N, 3, F, F]."""

    figures: Tensor
    pictures: Tensor
    """As the body's generator rendered them."""
    truths: Tensor


def face_side_px(height_px: int) -> int:
    """F: about the size of a head near the camera, a multiple of 32."""
    return max(32, height_px // 4 // 32 * 32)


def render_heads(
    footage: Footage, generator: Path, indices: range, *, threads: int, every: int = 2, enough: int | None = None
) -> Heads:
    """Run the exported generator over frames, in chains that cores share, and crop the heads of every `every`-th.

    With `enough`, only as many chains, spread over all frames, as give so many heads.
    """
    chains = spread_chains(indices, len(indices) if enough is None else enough * every)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(partial(_render_chain, footage, generator, every=every), chains)
        rows = [row for part in track(parts, "Rendering heads", len(chains)) for row in part]
    return Heads(
        *(torch.from_numpy(np.stack(column)).permute(0, 3, 1, 2).contiguous() for column in zip(*rows, strict=True))
    )


def spread_chains(indices: range, frames: int) -> list[range]:
    """`CHAIN_FRAMES` in a row, from the first to the last of `indices`: two at least, and as many as make `frames`."""
    chains = [indices[first : first + CHAIN_FRAMES] for first in range(0, len(indices), CHAIN_FRAMES)]
    wanted = min(len(chains), max(2, math.ceil(frames / CHAIN_FRAMES)))
    return [chains[round(place)] for place in np.linspace(0, len(chains) - 1, wanted)]


def _render_chain(footage: Footage, generator: Path, indices: range, *, every: int) -> list[tuple[Rgb, ...]]:
    """Figures, pictures and truths of heads, uint8 F F 3 each, on one core."""
    side_px = face_side_px(footage.about.height_px)
    renderer = footage.renderer(load_engine(generator, precision="bf16"), None)
    rows: list[tuple[Rgb, ...]] = []
    with closing(footage.reader()) as reader:
        for index in indices:
            figure = footage.figure(index)
            picture, head = renderer.step(figure), figure.head
            if head is not None and index % every == 0:
                rows.append(tuple(crop_head(each, head, side_px) for each in (figure.rgb, picture, reader.read(index))))
    return rows


def crop_heads(pictures: Tensor, heads: Sequence[HeadBox], side_px: int) -> Tensor:
    """`realtime.render.crop_head` with a gradient: one square of each picture, B 3 H W to B 3 F F."""
    places = torch.arange(side_px, device=pictures.device) - (side_px - 1) / 2

    def along(centres: list[float], size: int) -> Tensor:
        """Positions of the crop's columns or rows, B F, in grid_sample's -1..1 from edge to edge of the picture."""
        boxes = torch.tensor([centres, [head.side_px / side_px for head in heads]], device=pictures.device)
        return (2 * (boxes[0, :, None] + boxes[1, :, None] * places) + 1) / size - 1

    height, width = pictures.shape[-2:]
    x, y = along([head.x for head in heads], width), along([head.y for head in heads], height)
    grid = torch.stack((x[:, None, :].expand(-1, side_px, -1), y[:, :, None].expand(-1, -1, side_px)), dim=-1)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


class FaceTrainer(TrainedNetwork):
    """The face network, its moving average, and its losses on the head: LSGAN, feature matching, perceptual, L1."""

    def __init__(self, side_px: int, config: TrainConfig, fabric: Fabric) -> None:
        super().__init__(build_face(config.face), config.learning_rate, config, fabric)
        self.side_px, self._config, self._autocast = side_px, config, fabric.autocast
        self.ema = moving_average(self.network, config.ema_decay)
        self._discriminator = DiscriminatorTrainer(6, 1, config, fabric)
        self.perceptual = load_perceptual(config.vgg19).to(fabric.device)
        self._feather = torch.from_numpy(feather(side_px)).to(fabric.device)

    def prepare(self, progress: float, lr_scale: float) -> None:
        """Set the learning rates for a step, as `TrainedNetwork.set_learning_rate`."""
        self.set_learning_rate(progress, lr_scale)
        self._discriminator.set_learning_rate(progress, lr_scale)
        self.network.train()

    def refine(self, figure: Tensor, picture: Tensor, *, averaged: bool = False) -> Tensor:
        """Add the residual of the network in training, or of its average, to heads; all B 3 F F in [-1, 1]."""
        network = self.ema.module.eval() if averaged else self
        packed = torch.cat([to_patches(figure), to_patches(picture)], dim=1)
        residual = from_patches(network(packed.contiguous(memory_format=torch.channels_last)))
        return picture + self._feather * residual

    def losses(
        self,
        figure: Tensor,
        output: Tensor,
        truth: Tensor,
        *,
        perceptual_heads: int,
        perceptual_scale: float,
        scale: float = 1.0,
    ) -> StepLosses:
        """The losses of refined heads; the discriminator makes its step.

        Args:
            figure, output, truth: B 3 F F in [-1, 1].
            perceptual_heads: the first so many of them, 0 to B, go through the perceptual network.
            perceptual_scale: multiplies the perceptual loss; the mean over all processes is 1.
            scale: the same for all other losses.

        Returns:
            The generator's losses "l1", "vgg", "gan" and "fm", and the discriminator's "d".

        Raises:
            DivergedError: the discriminator's loss is not finite.
        """
        config = self._config
        perceptual = torch.zeros((), device=output.device)
        if perceptual_heads:
            with self._autocast():
                perceptual = self.perceptual(output[:perceptual_heads], truth[:perceptual_heads])
        losses = {
            "l1": scale * config.l1_weight * (output - truth).abs().mean(),
            "vgg": config.perceptual_weight * (perceptual * perceptual_scale),
        }
        return StepLosses(losses).merge(self._discriminator.step(figure, output, truth, scale=scale))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        own = super().state_dict()
        return {**own, "ema": self.ema.state_dict(), "discriminator": self._discriminator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        super().load_state_dict(state)
        self.ema.load_state_dict(state["ema"])
        self._discriminator.load_state_dict(state["discriminator"])


class FaceStage:
    """The face network alone, on heads that the finished generator has rendered."""

    name = "face"
    fps = 10.0
    pictures_per_step = FACE_BATCH

    def __init__(self, heads: Heads, held_out: Heads, config: TrainConfig, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number, self.lr_scale = config.face_steps, 0, 1.0
        self._heads, self._held_out, self._config, self._fabric = heads, held_out, config, fabric
        self.face_trainer = FaceTrainer(heads.figures.shape[-1], config, fabric)

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        fabric, face_trainer = self._fabric, self.face_trainer
        rng = torch.Generator().manual_seed(self._config.seed * 1_000_003 + self.step_number)
        count = FACE_BATCH // fabric.world_size
        first = count * fabric.global_rank
        chosen = torch.randint(len(self._heads.figures), (FACE_BATCH,), generator=rng)[first : first + count]
        figure, picture, truth = self._take(self._heads, chosen)
        face_trainer.prepare(self.step_number / self.steps, self.lr_scale)
        perceptual_heads = min(max(0, PERCEPTUAL_HEADS - first), count)
        losses = face_trainer.losses(
            figure,
            face_trainer.refine(figure, picture),
            truth,
            perceptual_heads=perceptual_heads,
            perceptual_scale=fabric.world_size * perceptual_heads / PERCEPTUAL_HEADS,
        )
        optimizer_step(fabric, losses.total, face_trainer, clip=CLIP_NORM)
        face_trainer.ema.update_parameters(face_trainer.network)
        self.step_number += 1
        return losses.means(fabric)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Score the averaged network on held-out heads; shows figure | truth | without | with it."""
        chosen = torch.linspace(0, len(self._held_out.figures) - 1, min(frames, len(self._held_out.figures))).long()
        psnrs_db, distances = [], []
        for index in chosen:
            figure, picture, truth = self._take(self._held_out, index[None])
            output = self.face_trainer.refine(figure, picture, averaged=True)
            distances.append(float(self.face_trainer.perceptual(output, truth)))
            row = [to_rgb(part) for part in (figure, truth, picture, output)]
            psnrs_db.append([psnr_db(part, row[1]) for part in row[2:]])
            show(np.concatenate(row, axis=1))
        without_db, with_db = np.mean(psnrs_db, axis=0)
        return Score(float(without_db), float(with_db), float(np.mean(distances)))

    def _take(self, heads: Heads, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Figures, pictures and truths of some frames, B 3 F F in [-1, 1]."""
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
        """Do nothing: there are no threads or files, the heads are in memory."""
