"""PSNR and SSIM of a picture against the truth."""

import math

import cv2
import numpy as np

from realtime.frame import Rgb

WINDOW_PX = 11
SIGMA_PX = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def psnr_db(a: Rgb, b: Rgb) -> float:
    """Peak signal-to-noise ratio, the mean squared error taken over pixels and channels; infinite for equal pictures.

    Args:
        a: H W 3, RGB, uint8.
        b: the same.
    """
    _check(a, b)
    error = float(np.mean(np.square(a.astype(np.float64) - b)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(a: Rgb, b: Rgb, box: tuple[int, int, int, int] | None = None) -> float:
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
    _check(a, b)
    height, width = a.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    assert 0 <= left < left + WINDOW_PX <= right <= width, f"{box} in a picture of {width}x{height}"
    assert 0 <= top < top + WINDOW_PX <= bottom <= height, f"{box} in a picture of {width}x{height}"
    # float64: the variances are small differences of large squares.
    x = a[top:bottom, left:right].astype(np.float64)
    y = b[top:bottom, left:right].astype(np.float64)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), SIGMA_PX) for values in (x, y, x * x, y * y, x * y)
    )
    variances = mean_xx - mean_x**2 + mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    edge = WINDOW_PX // 2
    return float((luminance * structure)[edge:-edge, edge:-edge].mean())


def _check(a: Rgb, b: Rgb) -> None:
    assert a.shape == b.shape == (*a.shape[:2], 3), f"want H W 3 twice, not {a.shape} and {b.shape}"
    assert a.dtype == b.dtype == np.uint8, f"want uint8, not {a.dtype} and {b.dtype}"
