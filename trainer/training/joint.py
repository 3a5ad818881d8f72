"""Stage three, if wanted: body and face network together, so that the face's losses reach the body's generator, too.

The chains run on as in the body's stage, under all of its losses. The heads in their last frames are cropped as live,
with a gradient, and refined; the face's losses on them flow into both networks.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.measure import HeadBox, head_box
from realtime.render import FaceRenderer, crop_head
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.live import FaceEngine
from trainer.networks.load import freeze_statistics
from trainer.networks.patches import to_rgb
from trainer.training.body import BodyStage
from trainer.training.dataset import Batch
from trainer.training.distributed import Fabric
from trainer.training.face import FaceTrainer, crop_heads, face_side_px
from trainer.training.losses import StepLosses
from trainer.training.optimize import CLIP_NORM, optimizer_step
from trainer.training.stage import ChainValidation, Score

LEARNING_RATE_SCALE = 0.1
"""Of the rates of the stages before: both networks are nearly trained."""


class JointStage:
    """A `BodyStage` and a `FaceTrainer` that make their steps together.

    BatchNorm keeps the averaged networks' statistics: both networks are trained as they are exported.
    """

    name = "joint"

    def __init__(self, footage: Footage, config: TrainConfig, fabric: Fabric) -> None:
        config = replace(
            config,
            steps=config.joint_steps,
            warmup_steps=0,
            freeze_norm_at=0.0,
            learning_rate=LEARNING_RATE_SCALE * config.learning_rate,
            discriminator_learning_rate=LEARNING_RATE_SCALE * config.discriminator_learning_rate,
        )
        self.body = BodyStage(footage, config, fabric)
        self.face_trainer = FaceTrainer(face_side_px(footage.about.height_px), config, fabric)
        self.steps, self.step_number, self.lr_scale = config.joint_steps, 0, 1.0
        self.fps, self.pictures_per_step = self.body.fps, self.body.pictures_per_step
        self._footage, self._fabric = footage, fabric

    def initialize_from(self, body: dict[str, Any], face: dict[str, Any]) -> None:
        """Begin where the stages before have ended, given their `state_dict`s: with the averaged networks."""
        self.body.load_state_dict({**body, "step": 0})
        self.face_trainer.load_state_dict(face)
        self.body.generator.load_state_dict(self.body.ema.module.state_dict())
        self.face_trainer.network.load_state_dict(self.face_trainer.ema.module.state_dict())

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        body, face_trainer = self.body, self.face_trainer
        body.lr_scale = self.lr_scale
        losses, batch, pictures = body.roll_out()
        face_trainer.prepare(self.step_number / self.steps, self.lr_scale)
        freeze_statistics(face_trainer.network, face_trainer.ema.module)
        losses = losses.merge(self._face_losses(batch, pictures), "face ")
        optimizer_step(self._fabric, losses.total, body.trained, face_trainer, clip=CLIP_NORM)
        face_trainer.ema.update_parameters(face_trainer.network)
        self.step_number += 1
        return body.finish(losses)

    def _face_losses(self, batch: Batch, pictures: Tensor) -> StepLosses:
        """The face's losses on the heads that the windows hold, scaled by the share of chains that have one.

        A process whose chains have none computes them all the same, on any crop and scaled by 0: the others wait for
        its part of the gradient.
        """
        face_trainer, chains = self.face_trainer, len(batch.heads)
        found = {row: head for row, head in enumerate(batch.heads) if head}
        count = len(found)
        found = found or {0: HeadBox(0, 0, face_trainer.side_px)}
        figure, picture, truth = (
            crop_heads(part[list(found)], list(found.values()), face_trainer.side_px)
            for part in (batch.figures[-1], pictures, batch.truths[-1])
        )
        output, scale = face_trainer.refine(figure, picture), count / chains
        return face_trainer.losses(figure, output, truth, perceptual_heads=count, perceptual_scale=scale, scale=scale)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Score both averaged networks' chain over held-out footage, as live; shows figure | truth | output.

        The distance is the mean of the picture's and the head's: in the picture's own the head would hardly count.
        """
        side_px = self.face_trainer.side_px
        face = FaceRenderer(FaceEngine(self.face_trainer.ema.module, side_px, self._fabric.device))
        validation = ChainValidation(len(self._footage.held_out(frames)))
        for index, figure, truth, picture in self.body.play_held_out(frames):
            output, pose = to_rgb(picture), self._footage.poses[index]
            head = head_box(pose) if pose else None
            if head:
                face.refine(output, figure, head)
            validation.add(output, truth, partial(self._distance, output, truth, head))
            show(np.concatenate([figure, truth, output], axis=1))
        return validation.score()

    def _distance(self, output: Rgb, truth: Rgb, head: HeadBox | None) -> float:
        whole = self.body.distance(output, truth)
        if head is None:
            return whole
        side_px = self.face_trainer.side_px
        return (whole + self.body.distance(crop_head(output, head, side_px), crop_head(truth, head, side_px))) / 2

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"step": self.step_number, "body": self.body.state_dict(), "face": self.face_trainer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.step_number = state["step"]
        self.body.load_state_dict(state["body"])
        self.face_trainer.load_state_dict(state["face"])

    def close(self) -> None:
        """Stop reading footage."""
        self.body.close()
