"""The training of a run: stage after stage over one folder.

RUN/
  data/        made by `prepare`
  config.json  `TrainConfig`; fit.json: what `fit` was told
  checkpoints/, previews/, tensorboard/, *.jsonl   made by `train`, for each stage
  generator.onnx   the trained body, on whose outputs the face network is trained
  joint.onnx       made by `export` where body and face were trained together
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engines.errors import UserError
from trainer.config import CheckpointConfig, Machine, TrainConfig
from trainer.export.subject import write_generator
from trainer.footage.atlas import ensure_atlas
from trainer.footage.prepared import Footage, Prepared, load_prepared
from trainer.settings import check_settings, write_settings
from trainer.training.body import BodyStage
from trainer.training.checkpoint import Checkpoints
from trainer.training.distributed import Fabric, assemble, fail_together
from trainer.training.face import FACE_BATCH, SEEN_TIMES, FaceStage, Heads, render_heads
from trainer.training.joint import JointStage
from trainer.training.loop import train
from trainer.training.stage import Stage


def train_run(
    run: Path,
    config: TrainConfig,
    *,
    machine: Machine,
    checkpointing: CheckpointConfig,
    start_from: Path | None = None,
) -> bool:
    """Train whatever is not trained yet: the body, then the face, then both together where that is wanted.

    Args:
        run: the run's folder.
        config: what it was begun with.
        machine: where to train.
        checkpointing: how often to validate and to save.
        start_from: folder of another run, whose weights a new body starts with where they fit.

    Returns:
        Whether everything is finished, in the first process; False after Ctrl-C, and in all other processes.

    Raises:
        UserError: there is no footage, or the run was begun with another `config`.
    """
    about = load_prepared(run / "data")
    check_settings(run / "config.json", config)
    runs = [run, *config.more_runs]
    _check_alike(runs)
    fabric = assemble(machine, config.batch, FACE_BATCH)
    chosen, config = config, config.for_footage(about.size_px, static=about.static)
    with fail_together(fabric):
        if fabric.is_global_zero and config.references:
            for each in runs:
                ensure_atlas(each / "data")
    footage, *others = (
        Footage(each / "data", background=config.background, references=config.references) for each in runs
    )
    stages = _Stages(run, chosen, config, footage, others, fabric, checkpointing)
    if not stages.train_body(start_from):
        return False
    stages.write_generator()
    return stages.train_face() and stages.train_joint() and fabric.is_global_zero


@dataclass(frozen=True)
class _Stages:
    """The stages of a run; each returns whether it is finished, at once where it was finished before."""

    run: Path
    chosen: TrainConfig
    """What config.json gets."""
    config: TrainConfig
    """The same as far as it fits the footage."""
    footage: Footage
    others: Sequence[Footage]
    fabric: Fabric
    checkpointing: CheckpointConfig

    def train_body(self, start_from: Path | None) -> bool:
        body = BodyStage(self.footage, self.config, self.fabric, others=self.others)
        if _checkpoints(self.run, "body").exist:
            return self._train(body)
        if start_from is not None:
            if not body.initialize_from(_checkpoints(start_from, "body").load_best()):
                raise UserError(f"Nothing of {start_from} fits these networks: train without --start-from.")
        elif self.config.coarse_steps:
            coarse = BodyStage(self.footage, self.config, self.fabric, others=self.others, coarse=True)
            if not self._train(coarse):
                return False
            body.initialize_from(coarse.state_dict())
        elif self.config.pretrained:
            body.initialize_pretrained()
        return self._train(body)

    def write_generator(self) -> None:
        """Write the graph of the finished body."""
        path = self.run / "generator.onnx"
        with fail_together(self.fabric):
            if self.fabric.is_global_zero and not path.exists():
                write_generator(_checkpoints(self.run, "body").load_best(), self.config, self.footage, path)

    def train_face(self) -> bool:
        steps = self.config.face_steps
        if not steps or _checkpoints(self.run, "face").reached(steps):
            return True
        with fail_together(self.fabric):
            heads = self._render_heads() if self.fabric.is_global_zero else None
        heads = self.fabric.broadcast(heads)
        assert heads
        return self._train(FaceStage(*heads, self.config, self.fabric))

    def train_joint(self) -> bool:
        steps = self.config.joint_steps
        if not steps or _checkpoints(self.run, "joint").reached(steps):
            return True
        joint = JointStage(self.footage, self.config, self.fabric)
        self.fabric.barrier()  # the best of the others may still be on its way to the disk
        if not _checkpoints(self.run, "joint").exist:
            joint.initialize_from(*(_checkpoints(self.run, stage).load_best() for stage in ("body", "face")))
        return self._train(joint)

    def _train(self, stage: Stage) -> bool:
        with fail_together(self.fabric):
            if self.fabric.is_global_zero:  # only now that a stage is built, so that a mistake in them can be mended
                write_settings(self.run / "config.json", self.chosen)
        return train(stage, self.run, self.fabric, self.checkpointing)

    def _render_heads(self) -> tuple[Heads, Heads]:
        """The heads that the best generator renders, for training and held out."""
        path, footage, threads = self.run / "generator.onnx", self.footage, torch.get_num_threads()
        training, held_out = range(footage.first_held_out), footage.held_out(len(footage.poses))
        enough = self.config.face_steps * FACE_BATCH // SEEN_TIMES
        return (
            render_heads(footage, path, training, threads=threads, enough=enough),
            render_heads(footage, path, held_out, threads=threads),
        )


def _check_alike(runs: Sequence[Path]) -> None:
    """Check that runs are prepared so that they can be trained on together.

    Raises:
        UserError: one is not.
    """
    first, *others = (load_prepared(run / "data") for run in runs)
    for run, about in zip(runs[1:], others, strict=True):
        if _kind(about) != _kind(first):
            raise UserError(f"{run} is of another size, kind of camera or figure than {runs[0]}: prepare it alike.")


def _kind(about: Prepared) -> tuple[object, ...]:
    return about.size_px, about.static, about.figure_style, about.skeleton_version


def _checkpoints(run: Path, stage: str) -> Checkpoints:
    return Checkpoints(run / "checkpoints", stage)
