"""Batches of persistent chains: each goes on in the footage where its last step ended; the chains take turns.

Figures are drawn as they are needed, which is as fast as reading them, and some of them are augmented on the way.
"""

import queue
import threading
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.measure import HeadBox
from realtime.pose.pose import Pose
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage, PictureReader
from trainer.networks.patches import from_bytes
from trainer.training.augment import DROPPABLE_PARTS, drop_part, jitter, smear_figure, zoom
from trainer.training.chain_sampler import ChainStep, CropRect, Window, sample_chain

SHADOW_REACH = 0.38
"""How far from the figure the person and its shadow reach, in heights of the picture."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on: R frames of B chains, in windows H W."""

    figures: Tensor
    """R B 3 H W in [-1, 1]."""
    truths: Tensor
    """R B 3 H W in [-1, 1]."""
    plate: Tensor
    """B 3 H W in [-1, 1]."""
    restart: Tensor
    """B bool: whether each chain starts anew."""
    chains: list[int]
    """The numbers of the B chains."""
    focus: list[CropRect]
    """What the perceptual loss compares of each chain."""
    hands: list[CropRect | None]
    """The surroundings of a hand, where there is one."""
    heads: list[HeadBox | None]
    """The head in each chain's last frame, unless the window cuts it off."""

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        figures, truths, plate, restart = (
            part.to(device, non_blocking=True) for part in (self.figures, self.truths, self.plate, self.restart)
        )
        return replace(self, figures=figures, truths=truths, plate=plate, restart=restart)

    def reduced(self, k: int) -> "Batch":
        """The same in pictures of 1/k of the size."""
        if k == 1:
            return self
        figures, truths = (
            torch.stack([F.avg_pool2d(frame, k) for frame in part]) for part in (self.figures, self.truths)
        )
        return replace(
            self,
            figures=figures,
            truths=truths,
            plate=F.avg_pool2d(self.plate, k),
            focus=[rect.reduced(k) for rect in self.focus],
            hands=[rect and rect.reduced(k) for rect in self.hands],
            heads=[
                head and HeadBox((head.x + 0.5) / k - 0.5, (head.y + 0.5) / k - 0.5, head.side_px / k)
                for head in self.heads
            ],
        )


class Loader:
    """Decodes, draws and stacks batches ahead of training, in one thread of its own, in order.

    Args:
        footage: where the frames come from.
        config: how many chains there are, how many of them take part in a step, and the augmentation.
        first_step: the step of the first batch.
        share: (i, n) loads the i-th of n equal parts of every batch.
    """

    def __init__(self, footage: Footage, config: TrainConfig, first_step: int, share: tuple[int, int] = (0, 1)) -> None:
        self._footage, self._config = footage, config
        part, parts = share
        rows = config.batch // parts
        self._rows = slice(part * rows, (part + 1) * rows)
        self._samplers = [sample_chain(footage, config, chain) for chain in range(config.chains)]
        self._step = first_step
        for turn in range(first_step * config.batch):
            next(self._samplers[turn % config.chains])
        self._readers = [footage.reader() for _ in self._samplers]
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def next(self) -> Batch:
        """The next step's batch."""
        batch = self._ready.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        """Stop the thread and close the files."""
        self._stop.set()
        self._thread.join()
        for reader in self._readers:
            reader.close()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._offer(self._batch())
        except BaseException as error:  # noqa: BLE001 - handed over to `next`, which raises it
            self._offer(error)

    def _offer(self, item: Batch | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.2)
                break
            except queue.Full:
                continue

    def _batch(self) -> Batch:
        turns = range(self._step * self._config.batch, (self._step + 1) * self._config.batch)
        chains = [turn % self._config.chains for turn in turns][self._rows]
        self._step += 1
        steps = [next(self._samplers[chain]) for chain in chains]
        rows = [self._read(step, self._readers[chain]) for chain, step in zip(chains, steps, strict=True)]
        figures, truths, plates = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(
            figures=_tensor(figures.swapaxes(0, 1)),
            truths=_tensor(truths.swapaxes(0, 1)),
            plate=_tensor(plates),
            restart=torch.tensor([step.restart for step in steps]),
            chains=chains,
            focus=[step.focus for step in steps],
            hands=[step.hand for step in steps],
            heads=[step.head for step in steps],
        )

    def _read(self, step: ChainStep, reader: PictureReader) -> tuple[Rgb, Rgb, Rgb]:
        """Figures and truths, uint8 R H W 3, and the plate, H W 3, of one chain."""
        window = step.window
        indices = range(step.start, step.start + self._config.unroll)
        truths = np.stack([_shrink(reader.read(index)[window.part], window) for index in indices])
        figures, plate = self._figures(step, indices), _shrink(self._footage.plate[window.part], window)
        if self._config.background:
            reach_px, blank = SHADOW_REACH * self._footage.about.height_px, self._footage.style.blank
            truths = np.stack(
                [within_reach(*pair, plate, blank, reach_px) for pair in zip(truths, figures, strict=True)]
            )
        return figures, truths, plate

    def _figures(self, step: ChainStep, indices: range) -> Rgb:
        """The figures in the window, some of them augmented, uint8 R H W 3."""
        config, window, rng = self._config, step.window, np.random.default_rng(step.seed)
        dropped, shaken, smeared = (rng.random() < p for p in (config.part_dropout, 0.25, config.motion_blur))
        part = str(rng.choice(list(DROPPABLE_PARTS)))

        def augmented(pose: Pose) -> Pose:
            if window.k < 1:
                pose = zoom(pose, (window.x, window.y), window.k)
            if shaken and config.keypoint_noise:
                pose = jitter(pose, config.keypoint_noise, rng)
            return drop_part(pose, part) if dropped else pose

        poses = [self._footage.poses[index] for index in range(max(0, indices.start - 1), indices.stop)]
        changed = [None if pose is None else augmented(pose) for pose in poses]
        figures = []
        for past, pose in pairwise([None] * (len(indices) + 1 - len(changed)) + changed):
            figure = self._footage.draw(pose)
            figures.append(smear_figure(figure, past, pose) if smeared and past and pose else figure)
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        return np.stack(figures)[:, y : y + window.height, x : x + window.width]


def within_reach(truth: Rgb, figure: Rgb, plate: Rgb, blank: int, reach_px: float) -> Rgb:
    """The truth within reach of the figure, the plate beyond, blended over a fifth of the reach.

    The network cannot know of a shadow whose owner is outside of the window: it would learn to draw shadows everywhere.
    """
    far_px = cv2.distanceTransform((figure == blank).all(axis=2).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.clip((reach_px - far_px) / (0.2 * reach_px), 0, 1)[:, :, None]
    return np.asarray(np.round(near * truth + (1 - near) * plate), np.uint8)


def cropped(pictures: Tensor, rect: CropRect) -> Tensor:
    """A part of pictures B C H W."""
    return pictures[:, :, rect.y : rect.y + rect.height, rect.x : rect.x + rect.width]


def downscaled(picture: Rgb, k: int) -> Rgb:
    """The picture in 1/k of the size."""
    height, width, _ = picture.shape
    return np.asarray(cv2.resize(picture, (width // k, height // k), interpolation=cv2.INTER_AREA), np.uint8)


def _shrink(picture: Rgb, window: Window) -> Rgb:
    """A window's part of a picture, resized to the batch's pixels."""
    if window.k == 1:
        return picture
    return np.asarray(cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_AREA), np.uint8)


def _tensor(pictures: Rgb) -> Tensor:
    """[..., H, W, 3] bytes to [..., 3, H, W] in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))))
