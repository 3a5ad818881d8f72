"""A torch module as an `Engine` with device memory (`engines.recurrent.DeviceEngine`): pinned buffers, recorded steps.

On "cpu" it does the same without recordings, which is how its logic is tested where there is no GPU.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.recurrent import Bytes, Chain, channel_copies

Described = list[tuple[str, tuple[int, ...], np.dtype[Any]]]
"""Names, shapes and dtypes, in order."""


class TorchDeviceEngine:
    """See the module.

    Args:
        module: takes the inputs in order, gives a sequence of the outputs in order.
        inputs, outputs: what they are.
        device: "cuda", or "cpu".
    """

    def __init__(self, module: Callable[..., Any], inputs: Described, outputs: Described, device: str = "cuda") -> None:
        self._module, self._on_gpu = module, device != "cpu"
        self.replay = self._on_gpu
        self._step = _Step(self, self._enqueue_run)
        self.host = {name: self.buffer(shape, dtype) for name, shape, dtype in inputs + outputs}
        self.device = {name: torch.zeros_like(each, device=device) for name, each in self.host.items()}
        self._ins, self._outs = [name for name, _, _ in inputs], [name for name, _, _ in outputs]
        self.inputs: Mapping[str, NDArray[Any]] = MappingProxyType(
            {name: self.host[name].numpy() for name in self._ins}
        )
        self.outputs: Mapping[str, NDArray[Any]] = MappingProxyType(
            {name: self.host[name].numpy() for name in self._outs}
        )

    def buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
        """Zeros on the host, where the device can reach them by itself."""
        zeros = torch.from_numpy(np.zeros(shape, dtype))
        return zeros.pin_memory() if self._on_gpu else zeros

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._step()

    def upload(self) -> None:
        """Copy the inputs to the device, and wait for it."""
        self._upload()
        self.wait()

    def download(self) -> None:
        """Copy the outputs to the host, and wait for it."""
        self._download()
        self.wait()

    def used_bytes(self) -> int:
        """The device memory that is in use, by anybody."""
        if not self._on_gpu:
            return 0
        free, total = torch.cuda.mem_get_info()
        return total - free

    def chain(self) -> Chain:
        """A chain on the device."""
        return TorchChain(self)

    def compute(self) -> None:
        """The network alone, on the device."""
        results = self._module(*(self.device[name] for name in self._ins))
        for name, result in zip(self._outs, results, strict=True):
            self.device[name].copy_(result)

    def _enqueue_run(self) -> None:
        self._upload()
        self.compute()
        self._download()

    def _upload(self) -> None:
        for name in self._ins:
            self.device[name].copy_(self.host[name], non_blocking=True)

    def _download(self) -> None:
        for name in self._outs:
            self.host[name].copy_(self.device[name], non_blocking=True)

    def wait(self) -> None:
        """Until the device is done."""
        if self._on_gpu:
            torch.cuda.synchronize()


class TorchChain:
    """A `Chain` on the device: in a step what is new goes in and the output comes out, each copied once."""

    def __init__(self, engine: TorchDeviceEngine) -> None:
        self._engine = engine
        ((name, self.output),) = engine.outputs.items()
        self._packed, self._result, self._host_result = engine.device["packed"], engine.device[name], engine.host[name]
        self._new = engine.buffer(self.output.shape, self.output.dtype)
        self.entering: Bytes = self._new.numpy()
        self._moves = channel_copies(self._packed.shape, self._result.shape)
        self._step = _Step(engine, self._enqueue)

    def restart(self, entered: Bytes, output: Bytes) -> None:
        """Forget the past: go on as if `entered` had just come out as `output`."""
        self.entering[...] = entered
        self.output[...] = output
        self._engine.upload()  # what else the network takes
        self._enter()
        self._result.copy_(self._host_result)
        self._remember()

    def run(self) -> None:
        """Compute `output` from `entering` and the past."""
        self._step()

    def _enqueue(self) -> None:
        self._enter()
        self._engine.compute()
        self._remember()
        self._host_result.copy_(self._result, non_blocking=True)

    def _enter(self) -> None:
        self._packed[..., : self._new.shape[-1]].copy_(self._new, non_blocking=True)

    def _remember(self) -> None:
        c = self._new.shape[-1]
        for move in self._moves:
            source = self._result if move.from_output else self._packed[..., :c]
            self._packed[..., move.target : move.target + c].copy_(source)


class _Step:
    """Does what `enqueue` enqueues and waits for it; from the second time on as one recording, if `engine.replay`."""

    def __init__(self, engine: TorchDeviceEngine, enqueue: Callable[[], None]) -> None:
        self._engine, self._enqueue = engine, enqueue
        self._recording: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self) -> None:
        if not self._engine.replay:
            self._enqueue()
        elif self._recording:
            self._recording.replay()
        else:
            self._enqueue()
            self._engine.wait()
            self._recording = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._recording):
                self._enqueue()  # nothing runs
        self._engine.wait()
