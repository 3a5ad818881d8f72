"""int8 by NNCF's post-training quantization. The only file that imports it; needs the extra "train"."""

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backends import quantized
from engines.openvino import read_model, save_model  # before NNCF: it blocks the telemetry that NNCF would start

import nncf  # isort: skip

COMPOSITION = ("Sigmoid", "Tanh", "Multiply", "Subtract", "Divide")
"""Operators that stay in float: the ends of the graph, where bytes become numbers and head and plate the picture."""


def quantize(graph: Path, inputs: Sequence[NDArray[Any]]) -> Path:
    """Write the int8 twin of a graph with one input, whole or not at all.

    Weights are quantized per channel, activations per tensor.

    Args:
        graph: ONNX file.
        inputs: what it sees while it runs on its own outputs; a few dozen.

    Returns:
        `engines.backends.quantized(graph)`; its weights are in the .bin beside it.
    """
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar
        model = nncf.quantize(
            read_model(graph),
            nncf.Dataset(list(inputs)),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(types=list(COMPOSITION), validate=False),
        )
    path = quantized(graph)
    save_model(model, path)
    return path
