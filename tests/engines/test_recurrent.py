"""Recurrent networks keep their past where they run, and every way gives the same pictures."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from engines.engine import Bytes, Engine
from engines.nvidia.torch_engine import TorchDeviceEngine
from engines.recurrent import DeviceEngine, HostRecurrentEngine, RecurrentEngine, channel_copies, make_recurrent
from engines.torch_eager import EagerEngine, OnnxModule
from realtime.figure import Figure
from realtime.patches import to_patches
from realtime.render import Renderer
from realtime.subject import load_subject
from tests.support.standing_pose import standing
from tests.support.tiny_training import figure_generator

RNG = np.random.default_rng(0)
STEPS = 4
PLATE = load_subject("alice").plate


class Mixing:
    """An engine whose output depends on every channel that came in, and on their order."""

    def __init__(self, c: int, parts: int) -> None:
        self.inputs = MappingProxyType({"packed": np.zeros((1, 3, 5, parts * c), np.uint8)})
        self.outputs = MappingProxyType({"picture": np.zeros((1, 3, 5, c), np.uint8)})

    def run(self) -> None:
        packed, output = self.inputs["packed"], self.outputs["picture"]
        weights = np.arange(1, packed.shape[-1] + 1, dtype=np.uint8)
        output[...] = (packed * weights).sum(-1, dtype=np.uint8)[..., None] + packed[..., : output.shape[-1]]


def noise(shape: tuple[int, ...]) -> Bytes:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def slowly(engine: Engine, previous_input: Bytes, previous_output: Bytes, inputs: list[Bytes]) -> list[Bytes]:
    """The same, obviously right: everything is put together anew in every step."""
    parts = engine.inputs["packed"].shape[-1] // previous_output.shape[-1]
    outputs = []
    for each in inputs:
        packed = (each, previous_input, previous_output) if parts == 3 else (each, previous_output)
        engine.inputs["packed"][...] = np.concatenate(packed, axis=-1)
        engine.run()
        previous_input, previous_output = each, next(iter(engine.outputs.values())).copy()
        outputs.append(previous_output)
    return outputs


def run_all(engine: RecurrentEngine, inputs: list[Bytes]) -> list[Bytes]:
    outputs = []
    for each in inputs:
        engine.input[...] = each
        engine.run()
        outputs.append(engine.output.copy())
    return outputs


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("c", [3, 48])
def test_the_host_remembers(c: int, parts: int) -> None:
    engine = Mixing(c, parts)
    inputs = [noise((1, 3, 5, c)) for _ in range(STEPS)]
    previous = noise((1, 3, 5, c)), noise((1, 3, 5, c))
    expected = slowly(engine, *previous, inputs)
    recurrent = HostRecurrentEngine(engine)
    for _ in range(2):
        recurrent.reset(*previous)
        assert all(map(np.array_equal, run_all(recurrent, inputs), expected))


def test_what_is_no_recurrent_network_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"\(1, 3, 5, 96\)"):
        channel_copies((1, 3, 5, 100), (1, 3, 5, 96))


def test_device_host_and_renderer_give_the_same_pictures(tmp_path: Path) -> None:
    """The device's own logic, on the CPU: a figure's generator, its state never leaving the torch tensors."""
    graph = figure_generator(PLATE, tmp_path / "generator.onnx")
    module = OnnxModule(graph)
    device = TorchDeviceEngine(module, module.inputs, module.outputs, "cpu")
    assert isinstance(device, DeviceEngine)
    host = EagerEngine(graph, 1)
    assert isinstance(make_recurrent(host), HostRecurrentEngine)
    assert not isinstance(make_recurrent(device), HostRecurrentEngine)
    figures = [Figure(noise(PLATE.shape), standing()) for _ in range(STEPS)]
    by_host, by_device = Renderer(host, None, PLATE), Renderer(device, None, PLATE)
    expected = [by_host.step(figure) for figure in figures]
    blank, plate = np.zeros_like(host.outputs["picture"]), to_patches(PLATE)[None]
    patches = [to_patches(figure.rgb)[None] for figure in figures]
    others = slowly(EagerEngine(graph, 1), blank, plate, patches)
    assert all(np.array_equal(to_patches(each)[None], other) for each, other in zip(expected, others, strict=True))
    for _ in range(2):
        assert all(np.array_equal(by_device.step(figure), each) for figure, each in zip(figures, expected, strict=True))
        by_device.reset()


def test_device_engine_runs_like_any_engine() -> None:
    subject = load_subject("alice")
    module = OnnxModule(subject.graphs[1])
    device, host = TorchDeviceEngine(module, module.inputs, module.outputs, "cpu"), EagerEngine(subject.graphs[1], 1)
    for engine in (device, host):
        engine.inputs["packed"][...] = np.arange(256, dtype=np.uint8)[: engine.inputs["packed"].shape[-1]]
        engine.run()
    assert np.array_equal(device.outputs["residual"], host.outputs["residual"])
    before = device.outputs["residual"].copy()
    device.outputs["residual"][...] = 0
    device.download()
    assert np.array_equal(device.outputs["residual"], before)
    assert device.used_bytes() == 0
