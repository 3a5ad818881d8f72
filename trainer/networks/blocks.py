"""What the compact networks are built of. Plain dense convolutions with ReLU: they stay fast in int8."""

from torch import Tensor, nn

from trainer.networks.norm import BatchNorm


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
