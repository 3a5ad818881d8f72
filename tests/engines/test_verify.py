"""The checks of `engines verify` that need no GPU: all of them, on the processor."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from engines.backends import Precision
from engines.engine import Bytes, Engine
from engines.errors import UserError
from engines.load import load_engine
from engines.nvidia.torch_engine import TorchDeviceEngine
from engines.torch_eager import EagerEngine, OnnxModule
from engines.verify import Check, ReferenceFrames, VerifyConfig, verify, verify_once
from realtime.patches import to_patches
from realtime.subject import load_subject
from tests.support.standing_pose import standing
from tests.support.tiny_training import figure_generator

QUICK = VerifyConfig(timed=2, steps=3, long_steps=10)
ALICE = load_subject("alice")


def reference_frames() -> ReferenceFrames:
    height, width = ALICE.plate.shape[:2]
    poses = [standing(scale=height / 128, x=5.0 * step) for step in range(4)]
    figures = [to_patches(ALICE.style.draw(pose, height, width))[None] for pose in poses]
    blank, plate = np.zeros_like(figures[0]), to_patches(ALICE.plate)[None]
    return ReferenceFrames(inputs=figures, previous_input=blank, previous_output=plate)


def by_name(engine: Engine, reference: Engine, precision: Precision = "f32") -> dict[str, Check]:
    return {
        check.name: check for check in verify(engine, reference, reference_frames(), precision=precision, config=QUICK)
    }


def test_openvino_passes_against_torch(tmp_path: Path) -> None:
    graph = figure_generator(ALICE.plate, tmp_path / "generator.onnx")
    checks = by_name(load_engine(graph, precision="bf16"), EagerEngine(graph, 1), "bf16")
    assert list(checks) == ["parity", "latency", "memory does not grow", "long chain"]
    assert all(check.passed for check in checks.values()), checks
    assert float(checks["parity"].metrics["step_db"]) > 50
    assert float(checks["parity"].metrics["chain_db"]) > 40
    assert float(checks["latency"].metrics["p50_ms"]) <= float(checks["latency"].metrics["p95_ms"])
    assert float(checks["long chain"].metrics["last_to_first_db"]) > 20


def test_an_engine_with_memory_of_its_own_has_more_to_show() -> None:
    module = OnnxModule(ALICE.graphs[1])  # half of what it takes has the shape of what it gives
    device = TorchDeviceEngine(module, module.inputs, module.outputs, "cpu")
    rng, shape = np.random.default_rng(0), device.outputs["residual"].shape
    noise = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(6)]
    frames = ReferenceFrames(inputs=noise[:4], previous_input=noise[4], previous_output=noise[5])
    reference = load_engine(ALICE.graphs[1])
    checks = {check.name: check for check in verify(device, reference, frames, precision="f32", config=QUICK)}
    assert all(check.passed for check in checks.values()), checks
    assert checks["piece by piece as replayed"].metrics == {"different_frames": 0, "frames": 4}
    assert checks["state on the host as on the device"].passed
    assert {"to_device_p50_ms", "to_host_p95_ms"} <= checks["copies of all inputs and outputs"].metrics.keys()
    assert device.replay is False, "as it was"


class Faulty:
    """A recurrent engine that is wrong in one way."""

    def __init__(self, fault: str) -> None:
        shape = reference_frames().previous_output.shape
        self.inputs: Mapping[str, Bytes] = MappingProxyType({"packed": np.zeros((*shape[:3], 3 * shape[3]), np.uint8)})
        self.outputs: Mapping[str, Bytes] = MappingProxyType({"picture": np.zeros(shape, np.uint8)})
        self._fault, self._kept = fault, list[Bytes]()

    def run(self) -> None:
        output = self.outputs["picture"]
        output[...] = self.inputs["packed"][..., : output.shape[-1]]
        if self._fault == "wrong":
            output[0, 0] ^= 255
        elif self._fault == "lost":
            output[...] = 0
        elif self._fault == "leaky":
            self._kept.append(np.ones(8 << 20, np.uint8))


@pytest.mark.parametrize(
    ("fault", "name"), [("wrong", "parity"), ("lost", "long chain"), ("leaky", "memory does not grow")]
)
def test_faults_are_found(fault: str, name: str) -> None:
    checks = by_name(Faulty(fault), Faulty(""))
    assert not checks[name].passed
    assert fault != "leaky" or checks["parity"].passed


def test_networks_without_a_past_are_compared_too() -> None:
    shape = load_engine(ALICE.graphs[1]).inputs["packed"].shape
    inputs = [np.full(shape, value, np.uint8) for value in (0, 100, 255)]
    check = verify_once("face", load_engine(ALICE.graphs[1]), EagerEngine(ALICE.graphs[1], 1), inputs, precision="f32")
    assert check.passed
    assert check.name == "parity of face"


@pytest.mark.parametrize("field", ["timed", "steps", "long_steps"])
def test_no_steps_are_refused(field: str) -> None:
    with pytest.raises(UserError, match=f"^--{field.replace('_', '-')} must be at least 1, not 0.$"):
        VerifyConfig(**{field: 0})
