"""Run plans of TensorRT or TensorRT-RTX, whose Python module is `trt`, on the GPU."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import Bytes
from engines.errors import UserError
from engines.nvidia.cuda import DeviceArray, Stream, find_device, used_bytes
from engines.nvidia.plan_builder import Log
from engines.recurrent import RecurrentEngine, channel_copies


def load_plan(trt: Any, log: Log, runtime: Any, plan: bytes) -> Any:
    """The `ICudaEngine` of a plan, which must not outlive its `runtime`.

    Raises:
        UserError: no GPU that it runs on, or another version built it.
    """
    log.errors.clear()
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise UserError(
            f"{trt.__name__} {trt.__version__} cannot load its engine here: {log.last_error()}; "
            "it needs an NVIDIA GPU with its driver, and an engine that was built for both."
        )
    return engine


class PlanEngine:
    """An `Engine` with device memory (`engines.recurrent.DeviceEngine`).

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        log: where it writes.
        plan: what `build_plan` made of a graph with static shapes.
        configure: makes an execution context of the `ICudaEngine`.
    """

    def __init__(self, trt: Any, log: Log, plan: bytes, configure: Callable[[Any], Any]) -> None:
        find_device()
        self._log = log
        self._runtime = trt.Runtime(log)
        self._engine = load_plan(trt, log, self._runtime, plan)
        self._context = configure(self._engine)
        self.stream = Stream()
        self.replay = True
        self._step = _PlanStep(self, self._enqueue_run)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        ins = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self.device = {
            name: DeviceArray(
                tuple(self._context.get_tensor_shape(name)), trt.nptype(self._engine.get_tensor_dtype(name))
            )
            for name in names
        }
        for name, array in self.device.items():
            self._context.set_tensor_address(name, array.address)
        hosts = {name: array.pinned() for name, array in self.device.items()}
        self.inputs: Mapping[str, NDArray[Any]] = MappingProxyType({name: hosts[name] for name in ins})
        self.outputs: Mapping[str, NDArray[Any]] = MappingProxyType(
            {name: hosts[name] for name in names if name not in ins}
        )

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._step()

    def upload(self) -> None:
        """Copy the inputs to the device, and wait for it."""
        self._enqueue_upload()
        self.stream.wait()

    def download(self) -> None:
        """Copy the outputs to the host, and wait for it."""
        self._enqueue_download()
        self.stream.wait()

    def used_bytes(self) -> int:
        """The device memory that is in use, by all programs."""
        return used_bytes()

    def recurrent(self) -> RecurrentEngine:
        """The same network with its past on the device."""
        return RecurrentPlanEngine(self)

    def enqueue_network(self) -> None:
        """Enqueue the network alone."""
        if not self._context.execute_async_v3(self.stream.handle):
            raise RuntimeError(f"the engine did not run: {self._log.last_error()}")

    def _enqueue_upload(self) -> None:
        for name, host in self.inputs.items():
            self.stream.upload(host, self.device[name])

    def _enqueue_download(self) -> None:
        for name, host in self.outputs.items():
            self.stream.download(self.device[name], host)

    def _enqueue_run(self) -> None:
        self._enqueue_upload()
        self.enqueue_network()
        self._enqueue_download()


class RecurrentPlanEngine:
    """A `RecurrentEngine` on the GPU: in a run the new input goes in and the output comes out, each copied once."""

    def __init__(self, engine: PlanEngine) -> None:
        self._engine = engine
        ((name, self.output),) = engine.outputs.items()
        self._packed, self._result = engine.device["packed"], engine.device[name]
        self._device_input = DeviceArray(self._result.shape, np.uint8)
        self.input: Bytes = self._device_input.pinned()
        self._copies = channel_copies(self._packed.shape, self._result.shape)
        self._step = _PlanStep(engine, self._enqueue)

    def reset(self, previous_input: Bytes, previous_output: Bytes) -> None:
        """Replace the past by these, both [1, h, w, c]."""
        c = self._result.shape[-1]
        self.output[...] = previous_output
        packed = self._engine.inputs["packed"]
        for copy in self._copies:
            packed[..., copy.target : copy.target + c] = previous_output if copy.from_output else previous_input
        self._engine.upload()

    def run(self) -> None:
        """Compute `output` from `input` and the past."""
        self._step()

    def _enqueue(self) -> None:
        stream, c = self._engine.stream, self._result.shape[-1]
        stream.upload(self.input, self._device_input)
        stream.copy_channels(self._device_input, self._packed, 0, c)
        self._engine.enqueue_network()
        for copy in self._copies:
            stream.copy_channels(self._result if copy.from_output else self._packed, self._packed, copy.target, c)
        stream.download(self._result, self.output)


class _PlanStep:
    """Does what `enqueue` enqueues, and waits for it; if `engine.replay`, as one recording from the second call on."""

    def __init__(self, engine: PlanEngine, enqueue: Callable[[], None]) -> None:
        self._engine, self._enqueue = engine, enqueue
        self._recording: Callable[[], None] | None = None

    def __call__(self) -> None:
        stream = self._engine.stream
        if not self._engine.replay:
            self._enqueue()
        elif self._recording:
            self._recording()
        else:
            self._enqueue()  # TensorRT wants a plain run before it is recorded
            stream.wait()
            self._recording = stream.record(self._enqueue)  # nothing runs
        stream.wait()
