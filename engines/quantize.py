"""int8 by NNCF's post-training quantization. The only file that imports it; it is in the extra "train"."""

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from engines.backends import quantized
from engines.openvino import last_layer, read_model, save_model  # blocks the telemetry that NNCF would start

import nncf  # isort: skip


def quantize(graph: Path, inputs: Sequence[NDArray[Any]]) -> Path:
    """Write the int8 twin of a graph with one input.

    Weights are quantized per channel. What follows the last convolution stays in float: there the bytes are made.

    Args:
        graph: ONNX file.
        inputs: what it sees while it runs on its own outputs; a few dozen.

    Returns:
        `engines.backends.quantized(graph)`; its weights are in the .bin beside it.
    """
    nncf.set_log_level(logging.ERROR)
    model = read_model(graph)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        model = nncf.quantize(
            model,
            nncf.Dataset(list(inputs)),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=last_layer(model)),
        )
    path = quantized(graph)
    save_model(model, path)
    return path
