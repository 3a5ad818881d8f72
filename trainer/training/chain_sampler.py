"""Which frames every chain is trained on, and through which window, step by step.

It follows from the seed and the chain's number alone, so a resumed run sees the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.pose.measure import HeadBox, head_box, stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, INDEX, LEFT_HAND, RIGHT_HAND
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage

SURROUNDINGS = 0.2
"""What counts as near the person, in statures: hair, skirt, the near part of the shadow."""
LARGEST_ZOOM_OUT = 1.4
"""A zoomed-out window covers at most so many times its own width and height."""
VIEWS = 12
"""Number of directions that the body can face, all around."""


@dataclass(frozen=True, slots=True)
class ChainWindow:
    """The part of the picture that a chain is trained on."""

    x: int
    y: int
    """Corner in the picture's pixels."""
    width: int
    height: int
    """Size in the batch's pixels."""
    k: float
    """Scale from the picture's pixels to the batch's, at most 1."""

    @property
    def part(self) -> tuple[slice, slice]:
        """The picture's rows and columns."""
        return (
            slice(self.y, self.y + round(self.height / self.k)),
            slice(self.x, self.x + round(self.width / self.k)),
        )


class CropRect(NamedTuple):
    """A part of a window, in its pixels."""

    x: int
    y: int
    """Corner."""
    width: int
    height: int

    def reduced(self, k: int) -> "CropRect":
        """The same part where pictures have 1/k of the size."""
        return CropRect(*(value // k for value in self))


@dataclass(frozen=True, slots=True)
class ChainStep:
    """The frames of one chain in one step."""

    start: int
    """Index of the first frame."""
    restart: bool
    """Whether the chain starts anew."""
    window: ChainWindow
    focus: CropRect
    """What the perceptual loss compares."""
    hand: CropRect | None
    """The surroundings of a hand; None if there is none in the window."""
    head: HeadBox | None
    """The last frame's head in the window's pixels; None if nobody is there, or the window cuts it off."""
    seed: int
    """Of the augmentation."""


def window_size(footage: Footage, config: TrainConfig) -> tuple[int, int]:
    """Width and height of the windows, in the batch's pixels."""
    whole = footage.about.width_px, footage.about.height_px
    return (config.window_px, config.window_px) if config.window_px else whole


def hand_side_px(footage: Footage) -> int:
    """Side of the crop around a hand."""
    return max(16, footage.about.height_px // 8 // 8 * 8)


def sample_chains(footage: Sequence[Footage], config: TrainConfig) -> list[Iterator[ChainStep]]:
    """The steps of every chain, without end; of several people the chains show one after the other."""
    starts = [
        start_probabilities(each.poses[: each.first_held_out - config.unroll + 1], config.view_balance)
        for each in footage
    ]
    shown = [chain % len(footage) for chain in range(config.chains)]
    return [_sample_chain(footage[who], config, chain, starts[who]) for chain, who in enumerate(shown)]


def _sample_chain(
    footage: Footage, config: TrainConfig, chain: int, probabilities: NDArray[np.float64]
) -> Iterator[ChainStep]:
    rng = np.random.default_rng((config.seed, chain))
    last = footage.first_held_out - config.unroll
    start, window = last + 1, ChainWindow(0, 0, 0, 0, 1.0)
    while True:
        restart = start > last or rng.random() < config.unroll / config.mean_chain_frames
        if restart:
            start = int(rng.choice(last + 1, p=probabilities))
            window = _window(footage, config, start, rng)
        pose = footage.poses[start]
        focus, hand = _focus(footage, config, pose, window, rng), _hand(footage, pose, window, rng)
        head = _head(footage, footage.poses[start + config.unroll - 1], window)
        yield ChainStep(start, restart, window, focus, hand, head, int(rng.integers(2**32)))
        start += config.unroll


def start_probabilities(poses: Sequence[Pose | None], balance: float) -> NDArray[np.float64]:
    """Probability that a chain starts at each of N frames, [N]: higher for rarely filmed views of the body.

    Args:
        poses: of the N frames; those with nobody count as a view of their own.
        balance: 0 makes all frames equally likely, 1 all views.
    """
    _, views, counts = np.unique([_view(pose) for pose in poses], return_inverse=True, return_counts=True)
    weights = (counts / len(poses))[views] ** -balance
    return np.asarray(weights / weights.sum(), np.float64)


def _view(pose: Pose | None) -> int:
    """The direction that the shoulders face, one of `VIEWS`; `VIEWS` itself for nobody."""
    if pose is None:
        return VIEWS
    left, right = INDEX["left_shoulder"], INDEX["right_shoulder"]
    angle = np.arctan2(pose.depth[left] - pose.depth[right], pose.xy[left, 0] - pose.xy[right, 0])
    return round(float(angle) / (2 * np.pi) * VIEWS) % VIEWS


def _window(footage: Footage, config: TrainConfig, index: int, rng: np.random.Generator) -> ChainWindow:
    """A window on the person or on its surroundings, where the shadow falls; one in ten anywhere in the picture."""
    whole = np.array([footage.about.width_px, footage.about.height_px])
    size = np.array(window_size(footage, config))
    zoomed, most = rng.random() < config.zoom_out, float((whole / size).min())
    k = 1 / rng.uniform(1, min(LARGEST_ZOOM_OUT, most)) if zoomed and most > 1 else 1.0
    part = size / k
    last = np.maximum(0, whole - part)
    pose = footage.poses[index]
    if pose is None or not last.any() or rng.random() < 0.1:
        corner = rng.uniform(0, last)
    else:
        body, margin_px = pose.xy[BODY], SURROUNDINGS * stature_px(pose)
        corner = rng.uniform(body.min(axis=0) - margin_px, body.max(axis=0) + margin_px) - part / 2
    # Multiples of four, so that the window's patches are the whole picture's patches.
    x, y = np.clip(np.round(corner / 4) * 4, 0, last // 4 * 4)
    return ChainWindow(int(x), int(y), int(size[0]), int(size[1]), k)


def _focus(
    footage: Footage, config: TrainConfig, pose: Pose | None, window: ChainWindow, rng: np.random.Generator
) -> CropRect:
    """A crop on the head, a hand or another keypoint; on the first two more often, for viewers look there."""
    size = (config.perceptual_px, config.perceptual_px) if config.perceptual_px else window_size(footage, config)
    kind, jitter_px, part = rng.random(), rng.uniform(-16, 16, 2), int(rng.integers(BODY.start, BODY.stop))
    if pose is None:
        centre = np.array([window.width / 2, window.height / 2], np.float32)
    elif kind < 0.35:
        head = head_box(pose)
        centre = _to_window(window, np.array([head.x, head.y]))
    else:
        hands = _hands(pose)
        centre = _to_window(window, hands[int(kind * 1000) % len(hands)] if hands and kind < 0.6 else pose.xy[part])
    return _crop(centre + jitter_px, size, window)


def _hand(footage: Footage, pose: Pose | None, window: ChainWindow, rng: np.random.Generator) -> CropRect | None:
    """A crop on a hand whose middle lies in the window."""
    choice, side = int(rng.integers(2)), hand_side_px(footage)
    places = [_to_window(window, hand) for hand in _hands(pose)] if pose else []
    inside = [place for place in places if (place > 0).all() and (place < (window.width, window.height)).all()]
    return _crop(inside[choice % len(inside)], (side, side), window) if inside else None


def _head(footage: Footage, pose: Pose | None, window: ChainWindow) -> HeadBox | None:
    """The square around a head; only the picture's own edge may cut it off, as it does live."""
    if pose is None:
        return None
    box, (rows, columns) = head_box(pose), window.part
    for centre, part, size in (
        (box.x, columns, footage.about.width_px),
        (box.y, rows, footage.about.height_px),
    ):
        low, high = max(0.0, centre - box.side_px / 2), min(float(size), centre + box.side_px / 2)
        if not part.start <= low < high <= part.stop:
            return None
    x, y = _to_window(window, np.array([box.x, box.y])).tolist()
    return HeadBox(x, y, box.side_px * window.k)


def _hands(pose: Pose) -> list[Floats]:
    """The middles of the detected hands, in the picture's pixels."""
    return [pose.xy[hand.start + 9] for hand in (LEFT_HAND, RIGHT_HAND) if pose.confidence[hand.start] > 0]


def _to_window(window: ChainWindow, point: NDArray[np.floating]) -> Floats:
    """A point of the picture in the window's pixels."""
    return np.asarray((point - (window.x, window.y)) * window.k, np.float32)


def _crop(centre: NDArray[np.floating], size: tuple[int, int], window: ChainWindow) -> CropRect:
    """A crop of this size around a point, moved into the window."""
    last = np.maximum(0, np.array([window.width, window.height]) - size)
    x, y = np.clip(centre - np.array(size) / 2, 0, last)
    return CropRect(int(x), int(y), *size)
