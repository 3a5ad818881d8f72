import math

import numpy as np
import pytest

from engines.parity import SAME_DB, psnr_db
from realtime.frame import Rgb
from trainer.evaluation.metrics import ssim


def plain(value: int, *, height: int = 16, width: int = 20) -> Rgb:
    return np.full((height, width, 3), value, np.uint8)


def stripes() -> tuple[Rgb, Rgb]:
    y, x, channel = np.mgrid[:40, :48, :3]
    a = ((x * 5 + y * 3 + channel * 40) % 256).astype(np.uint8)
    b = np.clip(a.astype(int) + ((x * y + channel) % 17 - 8) * 3, 0, 255).astype(np.uint8)
    return a, b


def test_psnr_of_a_constant_difference() -> None:
    assert psnr_db(plain(100), plain(110)) == pytest.approx(20 * math.log10(25.5))
    assert psnr_db(plain(0), plain(255)) == pytest.approx(0)
    assert psnr_db(plain(7), plain(7)) == SAME_DB


def test_ssim_of_plain_pictures_is_the_luminance_term() -> None:
    # (2 * 100 * 120 + C1) / (100^2 + 120^2 + C1) with C1 = 2.55^2
    assert ssim(plain(100), plain(120)) == pytest.approx(24006.5025 / 24406.5025, abs=1e-9)
    assert ssim(plain(100), plain(100)) == pytest.approx(1, abs=1e-12)


def test_equals_scikit_image() -> None:
    # scikit-image 0.26.0: peak_signal_noise_ratio, and structural_similarity with the arguments of ssim's docstring
    a, b = stripes()
    assert psnr_db(a, b) == pytest.approx(24.705298643849574, abs=1e-9)
    assert ssim(a, b) == pytest.approx(0.5959855259829788, abs=1e-9)
    assert ssim(a, b, (10, 5, 44, 30)) == pytest.approx(0.62714005421652, abs=1e-9)


def test_ssim_is_symmetric_and_sees_nothing_outside_the_box() -> None:
    a, b = stripes()
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12)
    changed = b.copy()
    changed[:, 30:] = 0
    assert ssim(a, b, (0, 0, 30, 40)) == ssim(a, changed, (0, 0, 30, 40))
    assert ssim(a, b) > ssim(a, changed)


@pytest.mark.parametrize("box", [(0, 0, 10, 20), (-1, 0, 20, 20), (0, 0, 49, 40), (0, 30, 20, 20)])
def test_a_box_that_does_not_fit_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(AssertionError, match="in a picture of 48x40"):
        ssim(*stripes(), box)


def test_other_shapes_and_types_are_refused() -> None:
    with pytest.raises(AssertionError, match="H W 3"):
        ssim(plain(1), plain(1, width=21))
    with pytest.raises(AssertionError, match="against"):
        psnr_db(plain(1), plain(1, width=21))
    for metric in (psnr_db, ssim):
        with pytest.raises(AssertionError, match="float64"):
            metric(plain(1), plain(1).astype(np.float64))
