"""Batches of persistent chains: each goes on in the footage where its last step ended; the chains take turns.

Figures are drawn as they are needed, which is as fast as reading them, and some of them are augmented on the way.
"""

import queue
import threading
from collections.abc import Sequence
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
from realtime.references.atlas import Atlas
from realtime.references.inputs import MovedParts, ReferenceInputs
from realtime.references.limb_frames import Window
from trainer.config import TrainConfig
from trainer.footage.prepared import REFERENCE_GAP_S, Footage
from trainer.networks.patches import from_bytes, to_patches
from trainer.training.augment import DROPPABLE_PARTS, drop_part, jitter, smear_figure, zoom
from trainer.training.chain_sampler import ChainStep, ChainWindow, CropRect, sample_chain
from trainer.training.chains import MovedPartsBatch

FAR_REFERENCE_GAP_S = 8.0
"""Least time between a frame and its references in `far_references` of the steps, in place of `REFERENCE_GAP_S`."""
FOLLOWED_FRAMES = 8
"""Frames before a step that the choice of references follows, as live it follows all before."""
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
    parts: list[MovedPartsBatch] | None = None
    """Of each of the R frames, for a generator with references."""

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        figures, truths, plate, restart = (
            part.to(device, non_blocking=True) for part in (self.figures, self.truths, self.plate, self.restart)
        )
        parts = self.parts and [frame.to(device) for frame in self.parts]
        return replace(self, figures=figures, truths=truths, plate=plate, restart=restart, parts=parts)

    def reduced(self, k: int) -> "Batch":
        """The same in pictures of 1/k of the size."""
        if k == 1:
            return self
        assert self.parts is None, "only the paper's networks are trained at half the size, and they have no references"
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
        footage: where the frames come from; of several people the chains show one after the other.
        config: how many chains there are, how many of them take part in a step, and the augmentation.
        first_step: the step of the first batch.
        share: (i, n) loads the i-th of n equal parts of every batch.
    """

    def __init__(
        self, footage: Sequence[Footage], config: TrainConfig, first_step: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        self._config = config
        part, parts = share
        rows = config.batch // parts
        self._rows = slice(part * rows, (part + 1) * rows)
        shown = [footage[chain % len(footage)] for chain in range(config.chains)]
        self._samplers = [sample_chain(each, config, chain) for chain, each in enumerate(shown)]
        self._step = first_step
        for turn in range(first_step * config.batch):
            next(self._samplers[turn % config.chains])
        self._readers = [ChainReader(each, config) for each in shown]
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
        rows = [self._readers[chain].read(step) for chain, step in zip(chains, steps, strict=True)]
        figures, truths, plates, parts = zip(*rows, strict=True)
        return Batch(
            figures=_tensor(np.stack(figures, axis=1)),
            truths=_tensor(np.stack(truths, axis=1)),
            plate=_tensor(np.stack(plates)),
            restart=torch.tensor([step.restart for step in steps]),
            chains=chains,
            focus=[step.focus for step in steps],
            hands=[step.hand for step in steps],
            heads=[step.head for step in steps],
            parts=[moved_parts_batch(frames) for frames in zip(*parts, strict=True)] or None,
        )


class ChainReader:
    """Reads, draws and augments the frames of one chain, and moves the references to them.

    Args:
        footage: where the frames come from.
        config: the length of steps, and the augmentation.
    """

    def __init__(self, footage: Footage, config: TrainConfig) -> None:
        self._footage, self._config, self._pictures = footage, config, footage.reader()

    def close(self) -> None:
        """Close the file."""
        self._pictures.close()

    def read(self, step: ChainStep) -> tuple[Rgb, Rgb, Rgb, list[MovedParts]]:
        """Figures and truths, uint8 R H W 3, the plate, H W 3, and the parts of R frames."""
        window = step.window
        indices = range(step.start, step.start + self._config.unroll)
        truths = np.stack([_shrink(self._pictures.read(index)[window.part], window) for index in indices])
        rng, plate = np.random.default_rng(step.seed), _shrink(self._footage.plate[window.part], window)
        poses = self._poses(step, indices, rng)
        figures = self._figures(window, poses, smeared=rng.random() < self._config.motion_blur)
        atlas = self._footage.atlas
        parts = self._parts(atlas, step, indices, poses, rng) if atlas else []
        if self._config.background:
            reach_px, blank = SHADOW_REACH * self._footage.about.height_px, self._footage.style.blank
            truths = np.stack(
                [within_reach(*pair, plate, blank, reach_px) for pair in zip(truths, figures, strict=True)]
            )
        return figures, truths, plate, parts

    def _poses(self, step: ChainStep, indices: range, rng: np.random.Generator) -> list[Pose | None]:
        """The poses of the frame before and of the R frames, in the pixels of the picture or of a shrunk window.

        Some are augmented, all of a step alike.
        """
        config, window = self._config, step.window
        dropped, shaken = rng.random() < config.part_dropout, rng.random() < 0.25
        part = str(rng.choice(list(DROPPABLE_PARTS)))

        def augmented(pose: Pose) -> Pose:
            if window.k < 1:
                pose = zoom(pose, (window.x, window.y), window.k)
            if shaken and config.keypoint_noise:
                pose = jitter(pose, config.keypoint_noise, rng)
            return drop_part(pose, part) if dropped else pose

        poses = [self._footage.poses[index] for index in range(max(0, indices.start - 1), indices.stop)]
        changed = [None if pose is None else augmented(pose) for pose in poses]
        return [None] * (len(indices) + 1 - len(changed)) + changed

    def _figures(self, window: ChainWindow, poses: Sequence[Pose | None], *, smeared: bool) -> Rgb:
        """The figures of all poses but the first in the window, uint8 R H W 3."""
        figures = []
        for past, pose in pairwise(poses):
            figure = self._footage.draw(pose)
            figures.append(smear_figure(figure, past, pose) if smeared and past and pose else figure)
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        return np.stack(figures)[:, y : y + window.height, x : x + window.width]

    def _parts(
        self, atlas: Atlas, step: ChainStep, indices: range, poses: Sequence[Pose | None], rng: np.random.Generator
    ) -> list[MovedParts]:
        """The parts of all poses but the first in the window. A frame and its neighbours never are their own reference.

        Sometimes none near in time is: a performer's poses are farther from all references than the subject's own.
        """
        footage, window = self._footage, step.window
        apart_s = FAR_REFERENCE_GAP_S if rng.random() < self._config.far_references else REFERENCE_GAP_S
        apart = round(apart_s * footage.about.fps)
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        plate = footage.plate if window.k == 1 else _shrink(footage.plate[window.part], window)
        inputs = ReferenceInputs(atlas, plate, Window(x, y, window.width, window.height))
        if not step.restart:  # what was shown before decides what is shown now
            for index in range(max(0, indices.start - FOLLOWED_FRAMES), indices.start - 1):
                pose = footage.poses[index]
                zoomed = zoom(pose, (window.x, window.y), window.k) if pose and window.k < 1 else pose
                inputs.follow(zoomed, frame=index, apart=apart)
            inputs.follow(poses[0], frame=indices.start - 1, apart=apart)
        frames = []
        for index, pose in zip(indices, poses[1:], strict=True):
            frame = inputs.step(pose, frame=index, apart=apart)
            frames.append(MovedParts(frame.coordinates.copy(), frame.picture, frame.flow.copy()))
        return frames


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


def _shrink(picture: Rgb, window: ChainWindow) -> Rgb:
    """A window's part of a picture, resized to the batch's pixels."""
    if window.k == 1:
        return picture
    return np.asarray(cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_AREA), np.uint8)


def _tensor(pictures: Rgb) -> Tensor:
    """[..., H, W, 3] bytes to [..., 3, H, W] in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))))


def moved_parts_batch(frames: Sequence[MovedParts]) -> MovedPartsBatch:
    """One frame of every chain."""
    coordinates = np.stack([frame.coordinates for frame in frames]).transpose(0, 3, 1, 2)
    flow = np.stack([frame.flow for frame in frames]).transpose(0, 3, 1, 2)
    return MovedPartsBatch(
        from_bytes(torch.from_numpy(np.ascontiguousarray(coordinates))),
        to_patches(_tensor(np.stack([frame.picture for frame in frames]))),
        torch.from_numpy(np.ascontiguousarray(flow)),
    )
