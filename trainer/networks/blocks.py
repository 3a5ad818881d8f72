"""Layers of the compact networks: plain dense convolutions with BatchNorm and ReLU, which stay fast in int8."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


class ConvBlock(nn.Sequential):
    """Convolution, BatchNorm (folded at export), and ReLU if `relu`."""

    def __init__(
        self, c_in: int, c_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2 * dilation, dilation, bias=False),
            BatchNorm(c_out),
        ]
        super().__init__(*layers, *([nn.ReLU()] if relu else []))


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))): activations stay non-negative, which suits uint8.

    Args:
        c: channels.
        dilations: of either convolution.
    """

    def __init__(self, c: int, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        first, second = dilations
        self.body = nn.Sequential(ConvBlock(c, c, dilation=first), ConvBlock(c, c, dilation=second, relu=False))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """B C h w to the same."""
        out: Tensor = self.relu(x + self.body(x))
        return out


class Up(nn.Sequential):
    """1x1 to fewer channels, bilinear to twice the size: cheaper than a transposed convolution, no checkerboard."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            ConvBlock(c_in, c_out, kernel=1, relu=False),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        )


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, whose statistics in training are those of the whole batch, however many processes share it."""

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        wide = x.float()
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _everywhere(wide.sum((0, 2, 3))) / count
        centred = wide - mean.view(1, -1, 1, 1)
        variance = _everywhere(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


class _Sum(Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(_: FunctionCtx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _everywhere(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total
