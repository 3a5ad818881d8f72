"""Augmentation with the faults that live poses (EDN's remarks a, b and f) and fed-back pictures have.

`trainer.training.chain_reader` applies it to poses and figures, `trainer.training.body` to fed-back pictures.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, RIGHT_HAND

EXPOSURE = 0.75
"""Of a frame's time: how long the smeared figures were exposed."""


def _keypoints(side: str, *names: str) -> list[int]:
    return [INDEX[f"{side}_{name}"] for name in names]


_HANDS = {"left": range(LEFT_HAND.start, LEFT_HAND.stop), "right": range(RIGHT_HAND.start, RIGHT_HAND.stop)}
DROPPABLE_PARTS: Mapping[str, list[int]] = {
    "face": list(range(FACE.start, FACE.stop)),
    **{f"{side} hand": list(hand) for side, hand in _HANDS.items()},
    **{f"{side} arm": _keypoints(side, "elbow", "wrist") + list(hand) for side, hand in _HANDS.items()},
    **{f"{side} foot": _keypoints(side, "ankle", "foot_index") for side in _HANDS},
}
"""Keypoints that an estimator loses together."""


def drop_part(pose: Pose, name: str) -> Pose:
    """The pose without one of `DROPPABLE_PARTS`."""
    confidence = pose.confidence.copy()
    confidence[DROPPABLE_PARTS[name]] = 0
    return Pose(pose.xy, pose.depth, confidence)


def jitter(pose: Pose, amount: float, rng: np.random.Generator) -> Pose:
    """The pose with every keypoint moved by noise of `amount` statures; hands and face move as a whole."""
    noise = rng.normal(0, amount * stature_px(pose), pose.xy.shape)
    noise[FACE] = noise[INDEX["nose"]]
    for side, hand in _HANDS.items():
        noise[list(hand)] = noise[INDEX[f"{side}_wrist"]]
    return Pose((pose.xy + noise).astype(np.float32), pose.depth, pose.confidence)


def zoom(pose: Pose, corner: tuple[int, int], k: float) -> Pose:
    """The pose in a picture that is `k` times as large and begins at `corner`."""
    return Pose(np.float32(k) * (pose.xy - np.array(corner, np.float32)), np.float32(k) * pose.depth, pose.confidence)


def smear_figure(figure: Rgb, past: Pose, pose: Pose) -> Rgb:
    """The figure as drawn from a picture with a long exposure."""
    height, width, _ = figure.shape
    return smear(figure, EXPOSURE * pose_flow(past, pose, width, height))


_FLOW_LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"),
    ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"),
)  # fmt: skip


def smear(rgb: Rgb, flow: Floats) -> Rgb:
    """The picture as a longer exposure sees it.

    Args:
        rgb: uint8 H W 3.
        flow: float32 H W 2, how far each place moves during the exposure, in pixels (x, y).

    Returns:
        A new picture, uint8 H W 3: the mean over the exposure, whose middle is `rgb`.
    """
    assert flow.shape == (*rgb.shape[:2], 2), f"flow {flow.shape} for a picture {rgb.shape}"
    smeared, way_px = rgb.copy(), np.linalg.norm(flow, axis=2)
    x0, y0, width, height = cv2.boundingRect((way_px > 0.25).astype(np.uint8))
    if not width:
        return smeared
    window = np.s_[y0 : y0 + height, x0 : x0 + width]
    x, y = np.meshgrid(np.arange(x0, x0 + width, dtype=np.float32), np.arange(y0, y0 + height, dtype=np.float32))
    dx, dy = np.moveaxis(flow[window], 2, 0)
    total, steps = np.zeros((height, width, 3), np.float32), int(np.ceil(way_px.max())) + 1
    for time in np.linspace(-0.5, 0.5, steps, dtype=np.float32):
        total += cv2.remap(rgb, x - time * dx, y - time * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    smeared[window] = np.round(total / steps)
    return smeared


def pose_flow(past: Pose, pose: Pose, width_px: int, height_px: int) -> Floats:
    """How the picture moves with the body from one pose to the next, float32 H W 2, pixels; 0 away from the person."""
    cell_px = 8
    limbs = [(INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"]) for side in ("left", "right") for a, b in _FLOW_LIMBS]
    share = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    ends, moves = pose.xy, pose.xy - past.xy
    sure = np.minimum(pose.confidence, past.confidence) > 0.5
    lines = [(ends[a] + share * (ends[b] - ends[a]), moves[a] + share * (moves[b] - moves[a]))
             for a, b in limbs if sure[a] and sure[b]]  # fmt: skip
    hands = [(ends[h], moves[h]) for h in (LEFT_HAND, RIGHT_HAND) if sure[h.start]]
    head = [(ends[BODY][:11], moves[BODY][:11])]
    places, shifts = (np.concatenate(column) for column in zip(*lines, *hands, *head, strict=True))
    y, x = np.indices((height_px // cell_px + 1, width_px // cell_px + 1), np.float32) * cell_px
    reach_px = max(0.04 * stature_px(pose), 0.6 * cell_px)
    squared = (x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2
    weight = np.exp(-squared / (2 * reach_px**2))
    flow = (weight @ shifts) / (weight.sum(axis=2, keepdims=True) + 0.3)
    return np.asarray(cv2.resize(flow.astype(np.float32), (width_px, height_px)), np.float32)


def disturb_chains(pictures: Tensor, plate: Tensor, share: float, seeds: Sequence[Sequence[int]]) -> Tensor:
    """`disturb` the fed-back picture of every chain by a seed of its own, whichever process it is in."""
    rows = []
    for row, seed in enumerate(seeds):
        state = np.random.SeedSequence(seed).generate_state(1, np.uint64)
        rng = torch.Generator(pictures.device).manual_seed(int(state[0]))
        rows.append(disturb(pictures[row : row + 1], plate[row : row + 1], share, rng))
    return torch.cat(rows)


def disturb(picture: Tensor, plate: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Spoil a share of the fed-back pictures, so that the network relies on the figure more than on its own past.

    A quarter of those is replaced by the plate, as at a start, the others get noise, coarse and fine.

    Args:
        picture: B 48 h w in [-1, 1].
        plate: the same.
        share: 0..1.
        rng: on the device of `picture`.
    """
    b, _, h, w = picture.shape
    device = picture.device
    kind = torch.rand(b, 1, 1, 1, generator=rng, device=device)
    coarse = torch.randn(b, 48, max(1, h // 8), max(1, w // 8), generator=rng, device=device)
    coarse = F.interpolate(coarse, (h, w), mode="bilinear")
    fine = torch.randn(picture.shape, generator=rng, device=device)
    strength = 0.15 * torch.rand(b, 1, 1, 1, generator=rng, device=device)
    noisy = (picture + strength * (coarse + fine)).clamp(-1, 1)
    return torch.where(kind < share / 4, plate, torch.where(kind < share, noisy, picture))
