"""EfficientNet-Lite0 as a feature extractor of metrics and of the detector; no loss of the training uses it.

Letters: B pictures, C channels, H W pixels.
"""

from pathlib import Path
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.load import load_pretrained

EFFICIENTNET_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")
"""Made by `scripts/convert_efficientnet.py`; origin and licence in NOTICE."""


class InvertedResidual(NamedTuple):
    """Shape of a block: 1x1 convolution to more channels, depthwise one, 1x1 to fewer."""

    c_in: int
    c_out: int
    expand: int
    kernel: int
    stride: int


def _stage(repeats: int, c_in: int, c_out: int, *, expand: int = 6, kernel: int, stride: int) -> list[InvertedResidual]:
    first = InvertedResidual(c_in, c_out, expand, kernel, stride)
    return [first] + [InvertedResidual(c_out, c_out, expand, kernel, 1)] * (repeats - 1)


STEM_WIDTH = 32
INVERTED_RESIDUALS = [
    *_stage(1, STEM_WIDTH, 16, expand=1, kernel=3, stride=1),
    *_stage(2, 16, 24, kernel=3, stride=2),
    *_stage(2, 24, 40, kernel=5, stride=2),
    *_stage(3, 40, 80, kernel=3, stride=2),
    *_stage(3, 80, 112, kernel=5, stride=1),
    *_stage(4, 112, 192, kernel=5, stride=2),
    *_stage(1, 192, 320, kernel=3, stride=1),
]
"""EfficientNet-B0 (Tan and Le, 2019) without squeeze and excitation, with ReLU6."""
LEVELS = (0, 2, 4, 10, 15)
"""The last block at each resolution: 16, 24, 40, 112, 320 channels at 1/2, 1/4, 1/8, 1/16, 1/32."""


class EfficientNet(nn.Module):
    """The convolutions of EfficientNet-Lite0, frozen. The weights are buffers that no checkpoint stores.

    Args:
        weights: safetensors file made by `scripts/convert_efficientnet.py`.

    Raises:
        UserError: the file is missing or is not such a file.
    """

    def __init__(self, weights: Path = EFFICIENTNET_WEIGHTS) -> None:
        super().__init__()
        for name, tensor in load_pretrained(weights, _shapes(), "EfficientNet-Lite0").items():
            self.register_buffer(name.replace(".", "_"), tensor.float(), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """The output of the last block at each resolution.

        Args:
            pictures: B 3 H W, RGB, -1..1, floating point.

        Returns:
            B C h w for each of `LEVELS`, sizes rounded up, float32.
        """
        assert pictures.ndim == 4, f"want B 3 H W, not {tuple(pictures.shape)}"
        assert pictures.shape[1] == 3, f"want B 3 H W, not {tuple(pictures.shape)}"
        x = F.relu6(self._conv((pictures.float() * 127.5 + 0.5) / 128, "stem", 2))
        found = []
        for number, block in enumerate(INVERTED_RESIDUALS):
            y = x
            if block.expand > 1:
                y = F.relu6(self._conv(y, f"block{number}_expand", 1))
            y = F.relu6(self._conv(y, f"block{number}_depthwise", block.stride))
            y = self._conv(y, f"block{number}_project", 1)
            x = x + y if block.stride == 1 and block.c_in == block.c_out else y
            if number in LEVELS:
                found.append(x)
        return found

    def _conv(self, x: Tensor, name: str, stride: int) -> Tensor:
        """Convolution with TensorFlow's "same" padding: output size is input size / stride, rounded up."""
        weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
        kernel = weight.shape[2]
        padding = []
        for length in reversed(x.shape[2:]):
            total = max(0, (-(-length // stride) - 1) * stride + kernel - length)
            padding += [total // 2, total - total // 2]  # the odd pixel at the far end
        return F.conv2d(F.pad(x, padding), weight, bias, stride, groups=x.shape[1] // weight.shape[1])


def _shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of all weights and biases, by the names in the file."""
    kernels = {"stem": (STEM_WIDTH, 3, 3, 3)}
    for number, block in enumerate(INVERTED_RESIDUALS):
        wide = block.c_in * block.expand
        if block.expand > 1:
            kernels[f"block{number}.expand"] = (wide, block.c_in, 1, 1)
        kernels[f"block{number}.depthwise"] = (wide, 1, block.kernel, block.kernel)
        kernels[f"block{number}.project"] = (block.c_out, wide, 1, 1)
    weights: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in kernels.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in kernels.items()}
