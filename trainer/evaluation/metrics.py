"""Image metrics: SSIM, perceptual distances of two networks' features, and temporal flicker.

PSNR is `engines.parity.psnr_db`.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.pose import Floats
from trainer.networks.efficientnet import EfficientNet
from trainer.networks.vgg import Vgg16

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom excluded."""

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

LPIPS_WEIGHTS = (0.108219, 0.069206, 0.068418, 0.100628)
"""Mean of lin0 .. lin3 in weights/v0.1/vgg.pth of the PyPI package lpips 0.1.4 (BSD-2-Clause)."""

CONSISTENT_PX = 1.0
"""A place whose forward and backward flow do not cancel to within this was covered or uncovered: not counted."""


def ssim(a: Rgb, b: Rgb, box: PixelBox | None = None) -> float:
    """Structural similarity (Wang et al., 2004): at most 1, and 1 only for equal pictures.

    Gaussian window of 11x11 pixels and sigma 1.5, K1 0.01, K2 0.03, biased variances, mean over the channels and over
    every place where the window lies wholly inside. The same as scikit-image's
    `structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.

    Args:
        a: H W 3, RGB, uint8.
        b: the same.
        box: left, top, right, bottom in pixels, right and bottom excluded, at least 11x11: compare this part as if it
            were the picture. Without it, all.
    """
    assert a.shape == b.shape == (*a.shape[:2], 3), f"want H W 3 twice, not {a.shape} and {b.shape}"
    assert a.dtype == b.dtype == np.uint8, f"want uint8, not {a.dtype} and {b.dtype}"
    height, width = a.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    assert 0 <= left < left + SSIM_WINDOW_PX <= right <= width, f"{box} in a picture of {width}x{height}"
    assert 0 <= top < top + SSIM_WINDOW_PX <= bottom <= height, f"{box} in a picture of {width}x{height}"
    # float64: the variances are small differences of large squares.
    x = a[top:bottom, left:right].astype(np.float64)
    y = b[top:bottom, left:right].astype(np.float64)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        cv2.GaussianBlur(values, (SSIM_WINDOW_PX, SSIM_WINDOW_PX), SSIM_SIGMA_PX)
        for values in (x, y, x * x, y * y, x * y)
    )
    variances = mean_xx - mean_x**2 + mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variances + SSIM_C2)
    edge = SSIM_WINDOW_PX // 2
    return float((luminance * structure)[edge:-edge, edge:-edge].mean())


class LpipsLike:
    """A perceptual distance after LPIPS (Zhang et al., 2018), not calibrated: near other people's LPIPS, no more.

    As in LPIPS the features are scaled to length 1 at every place, and squared differences are summed over channels.
    What differs: the network is the VGG16 that is shipped, with the Oxford group's weights, and without conv5. The
    channels of LPIPS's linear heads belong to another VGG16, which torchvision trained from scratch: here they are
    worth no more than the same numbers in any order (docs/log.md). So each layer has its head's mean as its weight.
    """

    def __init__(self) -> None:
        self._vgg = Vgg16()

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> float:
        """The distance of two pictures, both 1 3 H W, RGB, -1..1, at least 8x8; 0 for equal ones."""
        assert a.shape == b.shape == (1, 3, *a.shape[2:]), f"{tuple(a.shape)} against {tuple(b.shape)}"
        distance = torch.zeros(())
        for features, weight in zip(self._vgg.features(torch.cat([a, b])), LPIPS_WEIGHTS, strict=True):
            x, y = F.normalize(features, dim=1, eps=1e-10)
            distance += weight * (x - y).square().sum(dim=0).mean()
        return float(distance)


class FeatureDistance:
    """One minus the cosine similarity of EfficientNet's features, mean over places and levels.

    Unlike `LpipsLike` it uses a network that no training loss has seen. 0 for equal pictures; features that have
    nothing in common give 1.
    """

    def __init__(self) -> None:
        self._network = EfficientNet()

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> float:
        """The distance of two pictures, both 1 3 H W, RGB, -1..1."""
        levels = self._network.features(torch.cat([a, b]))
        return float(torch.stack([1 - F.cosine_similarity(x[:1], x[1:]).mean() for x in levels]).mean())


class OpticalFlow:
    """Optical flow from one picture to the next, to measure flicker: the warping error of Lai et al. (2018).

    Args:
        past: uint8 H W 3.
        now: the same size, one frame later.
    """

    def __init__(self, past: Rgb, now: Rgb) -> None:
        a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (past, now))
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        back, forth = (np.asarray(flow.calc(*pair, np.empty(0)), np.float32) for pair in ((b, a), (a, b)))
        y, x = np.indices(a.shape, np.float32)
        self._from = x + back[:, :, 0], y + back[:, :, 1]
        self._consistent: NDArray[np.bool_] = np.linalg.norm(back + self._warped(forth), axis=2) < CONSISTENT_PX

    def warping_error(self, past: Rgb, now: Rgb, box: PixelBox) -> float | None:
        """Mean absolute difference, 0..255, of `now` and `past` warped along the flow; None if no flow is consistent.

        Args:
            past: uint8 H W 3, of the size of the pictures that the flow was computed from.
            now: the same, one frame later.
            box: what is compared.
        """
        left, top, right, bottom = box
        consistent = self._consistent[top:bottom, left:right]
        if not consistent.any():
            return None
        change = np.abs(self._warped(past.astype(np.float32)) - now)[top:bottom, left:right]
        return float(change[consistent].mean())

    def _warped(self, past: Floats) -> Floats:
        warped = cv2.remap(past, *self._from, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.float32)
