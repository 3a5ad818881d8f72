"""How fast this processor multiplies: the bound that every network is measured against."""

import numpy as np

from engines.backends import Precision
from engines.openvino import compile_model  # blocks OpenVINO's telemetry
from engines.timing import durations_ms

import openvino as ov  # isort: skip
from openvino import opset13 as ops  # isort: skip

CHANNELS, SIDE = 256, 64
"""A dense 3x3 convolution: as near the peak as convolutions come."""


def peak_gmacs(precision: Precision, threads: int) -> float:
    """Billions of multiply-accumulates per second, the best of a dozen runs."""
    compiled = compile_model(_convolution(quantized=precision == "int8"), precision, threads)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.zeros((1, CHANNELS, SIDE, SIDE), np.float32)))
    return CHANNELS**2 * 9 * SIDE**2 / 1e6 / min(durations_ms(request.infer, runs=12))


def _convolution(*, quantized: bool) -> ov.Model:
    rng = np.random.default_rng(0)
    picture = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    weights = ops.constant(rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32))
    entering = ops.relu(picture)
    if quantized:
        entering = ops.fake_quantize(entering, *map(np.float32, (0, 1, 0, 1)), 256)
        weights = ops.fake_quantize(weights, *map(np.float32, (-4, 4, -4, 4)), 255)
    product = ops.convolution(entering, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([ops.relu(product)], [picture])
