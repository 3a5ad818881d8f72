"""Stage three, if wanted: body and face network together, so that what the heads lack reaches the body, too.

The chains run on just as in the body's stage, under all of its losses. In their last frames the heads are cut out as
live, with a gradient, mended, and judged as in the face's stage; those losses flow into both networks.
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
from trainer.export.onnx import FaceEngine
from trainer.footage.prepared import Footage
from trainer.networks.patches import to_bytes
from trainer.networks.weights import freeze_statistics
from trainer.training.body import BodyStage
from trainer.training.dataset import Batch
from trainer.training.fabric import Fabric
from trainer.training.face_trainer import FaceTrainer, crop_heads, face_side_px
from trainer.training.optimize import CLIP, optimizer_step, total
from trainer.training.stage import Score
from trainer.training.validation import ChainValidation

GENTLE = 0.1
"""Of the rates with which both networks began: they are nearly there."""


class JointStage:
    """A `BodyStage` and a `FaceTrainer` that make their steps together.

    BatchNorm keeps its statistics, those of the averages: the networks are what is exported, whatever a step sees.

    Args:
        footage: what to learn from.
        config: how.
        fabric: where; its processes share each batch.
    """

    name = "joint"

    def __init__(self, footage: Footage, config: TrainConfig, fabric: Fabric) -> None:
        config = replace(
            config,
            steps=config.joint_steps,
            warmup_steps=0,
            freeze_norm_at=0.0,
            learning_rate=GENTLE * config.learning_rate,
            discriminator_learning_rate=GENTLE * config.discriminator_learning_rate,
        )
        self.body = BodyStage(footage, config, fabric)
        self.face_trainer = FaceTrainer(face_side_px(footage.about.height_px), config, fabric)
        self.steps, self.step_number, self.lr_scale = config.joint_steps, 0, 1.0
        self.fps, self.pictures_per_step = self.body.fps, self.body.pictures_per_step
        self._footage, self._fabric = footage, fabric

    def begin_with(self, body: dict[str, Any], face: dict[str, Any]) -> None:
        """Begin where the stages before have ended, given their `state_dict`s: with the averaged networks."""
        self.body.load_state_dict({**body, "step": 0})
        self.face_trainer.load_state_dict(face)
        self.body.generator.load_state_dict(self.body.ema.module.state_dict())
        self.face_trainer.network.load_state_dict(self.face_trainer.ema.module.state_dict())

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        body, face_trainer = self.body, self.face_trainer
        body.lr_scale = self.lr_scale
        losses, batch, pictures = body.roll_on()
        face_trainer.prepare(self.step_number / self.steps, self.lr_scale)
        freeze_statistics(face_trainer.network, face_trainer.ema.module)
        losses |= {f"face {name}": loss for name, loss in self._judge(batch, pictures).items()}
        optimizer_step(self._fabric, total(losses), body.trainable, face_trainer.trainable, clip=CLIP)
        face_trainer.ema.update_parameters(face_trainer.network)
        self.step_number += 1
        return body.finish(losses)

    def _judge(self, batch: Batch, pictures: Tensor) -> dict[str, Tensor]:
        """The losses on the heads that the windows hold; a chain without one counts as one without a fault.

        Where a process has none it goes through the motions, for the others wait for its part of the gradient.
        """
        face_trainer, chains = self.face_trainer, len(batch.heads)
        found = {row: head for row, head in enumerate(batch.heads) if head}
        share = len(found) / chains
        found = found or {0: HeadBox(0, 0, face_trainer.side_px)}
        figure, picture, truth = (
            crop_heads(part[list(found)], list(found.values()), face_trainer.side_px)
            for part in (batch.figures[-1], pictures, batch.truths[-1])
        )
        mended = face_trainer.mend(figure, picture)
        return face_trainer.losses(figure, mended, truth, seen=len(found), seen_share=share, share=share)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Run both averaged networks over held-out footage, as live; shows figure | truth | output.

        Returns:
            PSNR of the chain's first and last tenth, and the perceptual distance of its second half: the mean of
            the picture's and the head's, for in the picture's own the head would hardly count.
        """
        side_px = self.face_trainer.side_px
        face = FaceRenderer(FaceEngine(self.face_trainer.ema.module, side_px, self._fabric.device))
        trial = ChainValidation(len(self._footage.held_out(frames)))
        for index, figure, truth, picture in self.body.perform(frames):
            output, pose = to_bytes(picture)[0].permute(1, 2, 0).cpu().numpy(), self._footage.poses[index]
            head = head_box(pose) if pose else None
            if head:
                face.refine(output, figure, head)
            trial.note(output, truth, partial(self._distance, output, truth, head))
            show(np.concatenate([figure, truth, output], axis=1))
        return trial.score()

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
