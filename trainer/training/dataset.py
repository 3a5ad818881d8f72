"""Batches of persistent chains: each plays the footage onwards from where its last step ended; they take turns.

Metrics are drawn as they are needed, for that is as fast as reading them, and some of them are made worse on the way.
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
from trainer.training.augment import PARTS, drop_part, jitter, smear_figure, zoom
from trainer.training.chain_sampler import ChainStep, Window, sample_chain

REACH = 0.38
"""How far from the figure the person and the shadow go, in heights of the picture."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's material. R frames of B chains, windows H W."""

    figures: Tensor
    """R B 3 H W in [-1, 1]."""
    truths: Tensor
    """R B 3 H W in [-1, 1]."""
    plate: Tensor
    """B 3 H W in [-1, 1]."""
    restart: Tensor
    """B bool: these chains start anew."""
    chains: list[int]
    """Which chains take part."""
    focus: list[tuple[int, int]]
    """Corner (x, y) of each chain's perceptual crop."""
    hands: list[tuple[int, int] | None]
    """Corner of each chain's crop around a hand, where there is one."""
    heads: list[HeadBox | None]
    """Where each chain's last head is, unless the window cuts it off."""

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        figures, truths, plate, restart = (
            part.to(device, non_blocking=True) for part in (self.figures, self.truths, self.plate, self.restart)
        )
        return replace(self, figures=figures, truths=truths, plate=plate, restart=restart)

    def reduced(self, k: int) -> "Batch":
        """The same in pictures of 1/k of the size; places stay in the full size's pixels."""
        if k == 1:
            return self
        figures, truths = (
            torch.stack([F.avg_pool2d(frame, k) for frame in part]) for part in (self.figures, self.truths)
        )
        return replace(self, figures=figures, truths=truths, plate=F.avg_pool2d(self.plate, k))


class Loader:
    """Decodes, draws and stacks batches ahead of training, in one thread, in order.

    Args:
        footage: where the frames come from.
        config: which chains there are, and how many of them take part in a step.
        first_step: the step of the first batch.
        share: (i, n) loads the i-th of n equal parts of every batch.
    """

    def __init__(self, footage: Footage, config: TrainConfig, first_step: int, share: tuple[int, int] = (0, 1)) -> None:
        self._footage, self._config = footage, config
        part, parts = share
        rows = config.batch // parts
        self._rows = slice(part * rows, (part + 1) * rows)
        self._plans = [sample_chain(footage, config, chain) for chain in range(config.chains)]
        self._step = first_step
        for turn in range(first_step * config.batch):
            next(self._plans[turn % config.chains])
        self._readers = [footage.reader() for _ in self._plans]
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
        segments = [next(self._plans[chain]) for chain in chains]
        rows = [self._read(segment, self._readers[chain]) for chain, segment in zip(chains, segments, strict=True)]
        figures, truths, plates = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(
            figures=_tensor(figures.swapaxes(0, 1)),
            truths=_tensor(truths.swapaxes(0, 1)),
            plate=_tensor(plates),
            restart=torch.tensor([segment.restart for segment in segments]),
            chains=chains,
            focus=[segment.focus for segment in segments],
            hands=[segment.hand for segment in segments],
            heads=[segment.head for segment in segments],
        )

    def _read(self, segment: ChainStep, reader: PictureReader) -> tuple[Rgb, Rgb, Rgb]:
        window = segment.window
        indices = range(segment.start, segment.start + self._config.unroll)
        truths = np.stack([_shrink(reader.read(index)[window.part], window) for index in indices])
        figures, plate = self._figures(segment, indices), _shrink(self._footage.plate[window.part], window)
        if self._config.background:
            reach_px, blank = REACH * self._footage.about.height_px, self._footage.style.blank
            truths = np.stack(
                [within_reach(*pair, plate, blank, reach_px) for pair in zip(truths, figures, strict=True)]
            )
        return figures, truths, plate

    def _figures(self, segment: ChainStep, indices: range) -> Rgb:
        """The figures of a segment as the window shows them, some of them made worse."""
        config, window, rng = self._config, segment.window, np.random.default_rng(segment.salt)
        dropped, shaken, smeared = (rng.random() < p for p in (config.part_dropout, 0.25, config.motion_blur))
        part = str(rng.choice(list(PARTS)))

        def change(pose: Pose) -> Pose:
            if window.k < 1:
                pose = zoom(pose, (window.x, window.y), window.k)
            if shaken and config.keypoint_noise:
                pose = jitter(pose, config.keypoint_noise, rng)
            return drop_part(pose, part) if dropped else pose

        poses = [self._footage.poses[index] for index in range(max(0, indices.start - 1), indices.stop)]
        changed = [None if pose is None else change(pose) for pose in poses]
        figures = []
        for past, pose in pairwise([None] * (len(indices) + 1 - len(changed)) + changed):
            figure = self._footage.draw(pose)
            figures.append(smear_figure(figure, past, pose) if smeared and past and pose else figure)
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        return np.stack(figures)[:, y : y + window.height, x : x + window.width]


def within_reach(truth: Rgb, figure: Rgb, plate: Rgb, blank: int, reach_px: float) -> Rgb:
    """The truth near the figure, the plate farther away, softly between.

    Of a shadow whose owner is outside of the window, the network can know nothing: it would draw one everywhere.
    """
    far_px = cv2.distanceTransform((figure == blank).all(axis=2).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.clip((reach_px - far_px) / (0.2 * reach_px), 0, 1)[:, :, None]
    return np.asarray(np.round(near * truth + (1 - near) * plate), np.uint8)


def _shrink(picture: Rgb, window: Window) -> Rgb:
    """A window's part of a picture in the batch's pixels."""
    if window.k == 1:
        return picture
    return np.asarray(cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_AREA), np.uint8)


def _tensor(pictures: Rgb) -> Tensor:
    """[..., H, W, 3] bytes to [..., 3, H, W] in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))))
