"""Torch modules as engines with device memory: graphs in plain torch, and what Torch-TensorRT compiles of them.

The only file that imports Torch-TensorRT, inside the functions that need it: the rest is tested without it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.backends import Precision
from engines.engine import Bytes
from engines.errors import UserError
from engines.nvidia.moved_past import RGB, Mover, blend
from engines.nvidia.onnx_precision import strongly_typed
from engines.recurrent import MovingRecurrentEngine, RecurrentEngine, channel_copies
from engines.torch_eager import OnnxModule

Described = list[tuple[str, tuple[int, ...], np.dtype[Any]]]
"""Names, shapes and dtypes, in order."""


class TorchDeviceEngine:
    """A torch module as an `Engine` with device memory (`engines.recurrent.DeviceEngine`): pinned buffers, CUDA graphs.

    On "cpu" it does the same without CUDA graphs, which is how its logic is tested where there is no GPU.

    Args:
        module: takes the inputs in order, gives a sequence of the outputs in order.
        inputs, outputs: what they are.
        device: "cuda", or "cpu".
    """

    def __init__(self, module: Callable[..., Any], inputs: Described, outputs: Described, device: str = "cuda") -> None:
        self._module, self._on_gpu = module, device != "cpu"
        self.replay = self._on_gpu
        self._step = _TorchStep(self, self._enqueue_run)
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
        """Zeros on the host, in memory that the device can reach by itself."""
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
        """The device memory that is in use, by all programs; 0 on "cpu"."""
        if not self._on_gpu:
            return 0
        free, total = torch.cuda.mem_get_info()
        return total - free

    def recurrent(self) -> RecurrentEngine:
        """The same network with its past on the device."""
        return RecurrentTorchEngine(self)

    def moving(self, plate: Bytes) -> MovingRecurrentEngine:
        """The same network with references, its past on the device, over a plate [1, h, w, 48]."""
        return MovingTorchEngine(self, plate)

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


class RecurrentTorchEngine:
    """A `RecurrentEngine` on the device: in a run the new input goes in and the output comes out, each copied once."""

    def __init__(self, engine: TorchDeviceEngine) -> None:
        self._engine = engine
        ((name, self.output),) = engine.outputs.items()
        self._packed, self._result, self._host_result = engine.device["packed"], engine.device[name], engine.host[name]
        self._host_input = engine.buffer(self.output.shape, self.output.dtype)
        self.input: Bytes = self._host_input.numpy()
        self._copies = channel_copies(self._packed.shape, self._result.shape)
        self._step = _TorchStep(engine, self._enqueue)

    def reset(self, previous_input: Bytes, previous_output: Bytes) -> None:
        """Replace the past by these, both [1, h, w, c]."""
        self.input[...] = previous_input
        self.output[...] = previous_output
        self._engine.upload()  # what else the network takes
        self._upload_input()
        self._result.copy_(self._host_result)
        self._remember()

    def run(self) -> None:
        """Compute `output` from `input` and the past."""
        self._step()

    def _enqueue(self) -> None:
        self._upload_input()
        self._engine.compute()
        self._remember()
        self._host_result.copy_(self._result, non_blocking=True)

    def _upload_input(self) -> None:
        self._packed[..., : self.input.shape[-1]].copy_(self._host_input, non_blocking=True)

    def _remember(self) -> None:
        c = self.input.shape[-1]
        for copy in self._copies:
            source = self._result if copy.from_output else self._packed[..., :c]
            self._packed[..., copy.target : copy.target + c].copy_(source)


class MovingTorchEngine:
    """A `MovingRecurrentEngine`: in a run new input and flow go in, picture and output come out, each copied once."""

    def __init__(self, engine: TorchDeviceEngine, plate: Bytes) -> None:
        self._engine = engine
        (name,) = engine.outputs
        self._packed, self._result, self._host_result = engine.device["packed"], engine.device[name], engine.host[name]
        _, h, w, channels = self._packed.shape
        self._host_input = engine.buffer((1, h, w, channels - RGB), plate.dtype)
        self._host_flow = engine.buffer((1, h, w, 2), np.dtype(np.float32))
        self._host_picture = engine.buffer(plate.shape, plate.dtype)
        self.input: Bytes = self._host_input.numpy()
        self.flow: NDArray[np.float32] = self._host_flow.numpy()
        self.picture: Bytes = self._host_picture.numpy()
        device = self._packed.device
        self._flow, self._picture = (each.to(device, copy=True) for each in (self._host_flow, self._host_picture))
        self._plate = torch.from_numpy(plate).to(device).float()
        self._mover = Mover(h, w, device)
        self._step = _TorchStep(engine, self._enqueue)

    def reset(self, picture: Bytes) -> None:
        """Replace the past by this, [1, h, w, 48]."""
        self.picture[...] = picture
        self._picture.copy_(self._host_picture)

    def run(self) -> None:
        """Compute `picture`, and the engine's own output, from `input`, `flow` and the past."""
        self._step()

    def _enqueue(self) -> None:
        new = self._packed[..., :-RGB]
        new.copy_(self._host_input, non_blocking=True)
        self._flow.copy_(self._host_flow, non_blocking=True)
        past = self._mover.move(self._picture, self._flow)
        self._packed[..., -RGB:].copy_(past)
        self._engine.compute()
        self._picture.copy_(blend(self._result, new[..., -RGB:].float(), past, self._plate))
        self._host_picture.copy_(self._picture, non_blocking=True)
        self._host_result.copy_(self._result, non_blocking=True)


class _TorchStep:
    """Does what `enqueue` enqueues, and waits for it; if `engine.replay`, as one recording from the second call on."""

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
            self._enqueue()  # torch wants a plain run before it is recorded
            self._engine.wait()
            self._recording = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._recording):
                self._enqueue()  # nothing runs
        self._engine.wait()


class TorchCudaEngine(TorchDeviceEngine):
    """An `Engine` on plain torch, whose kernels a CUDA graph replays: fast where there is no TensorRT.

    Args:
        graph: the ONNX graph.
        precision: "f16" (inside; the last steps stay in f32) or "f32" (without TF32).

    Raises:
        UserError: this torch has no CUDA, or does not know the graph.
    """

    def __init__(self, graph: Path, precision: Precision) -> None:
        if not torch.cuda.is_available():
            raise UserError(
                f"The torch-cuda backend needs an NVIDIA GPU, and torch {torch.__version__} finds none: install its "
                "driver and a torch with CUDA, or use --backend openvino."
            )
        module = OnnxModule(graph, strongly_typed(graph, precision)).cuda().eval()
        super().__init__(_exactly(module), module.inputs, module.outputs)


def _exactly(module: OnnxModule) -> Callable[..., tuple[Tensor, ...]]:
    """The module without TF32, and with the kernels of convolutions chosen by a measurement in the first run."""

    def compute(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            results: tuple[Tensor, ...] = module(*inputs)
        return results

    return compute


def build(graph: Path, out: Path, *, precision: Precision = "f16") -> None:
    """Compile an exported graph with Torch-TensorRT, and save the program for `TorchTensorRtEngine`.

    The types are the graph's own, as with the other TensorRT backends; what TensorRT does not take runs in torch.
    """
    import torch_tensorrt

    module = OnnxModule(graph, strongly_typed(graph, precision)).cuda().eval()
    inputs = module.examples("cuda")
    program = torch.export.export(module, inputs, strict=False)
    compiled = torch_tensorrt.dynamo.compile(
        program, arg_inputs=inputs, use_explicit_typing=True, disable_tf32=True, min_block_size=1
    )
    torch_tensorrt.save(compiled, str(out), output_format="exported_program", arg_inputs=inputs)


class TorchTensorRtEngine(TorchDeviceEngine):
    """An `Engine` on Torch-TensorRT.

    Args:
        graph: the ONNX graph, for the names and shapes.
        program: what `build` wrote. Only ever one of this user's own making: loading it runs what it says.
    """

    def __init__(self, graph: Path, program: Path) -> None:
        import torch_tensorrt

        described = OnnxModule(graph)
        super().__init__(torch_tensorrt.load(str(program)).module(), described.inputs, described.outputs)
