"""The CUDA runtime: pinned buffers, copies on a stream, recorded graphs. The only file that imports `cuda`."""

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from cuda.bindings import runtime as cudart
from numpy.typing import DTypeLike, NDArray

from engines.errors import UserError

_KINDS = cudart.cudaMemcpyKind


class Device(NamedTuple):
    """The GPU that is used: the first that CUDA shows (choose another by CUDA_VISIBLE_DEVICES)."""

    name: str
    capability: tuple[int, int]
    """(8, 9) for sm89."""
    driver: str
    """The newest CUDA that the driver knows: "13.0"."""
    runtime: str

    @property
    def target(self) -> str:
        """Its generation: "sm89"."""
        return "sm{}{}".format(*self.capability)


def call(function: Callable[..., Sequence[Any]], *arguments: Any) -> Any:
    """Call one of CUDA's functions; its only result, or None.

    Raises:
        RuntimeError: CUDA refuses.
    """
    status, *results = function(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        raise RuntimeError(f"{function.__name__}: {_text(status)}")
    return results[0] if results else None


def find_device() -> Device:
    """The GPU of this machine.

    Raises:
        UserError: there is none, or its driver is missing or too old.
    """
    status, count = cudart.cudaGetDeviceCount()
    if status != cudart.cudaError_t.cudaSuccess or not count:
        raise UserError(
            f"There is no usable NVIDIA GPU here ({_text(status)}): install its driver, or use --backend openvino."
        )
    properties = call(cudart.cudaGetDeviceProperties, 0)
    versions = (call(cudart.cudaDriverGetVersion), call(cudart.cudaRuntimeGetVersion))
    driver, runtime = (f"{version // 1000}.{version % 1000 // 10}" for version in versions)
    return Device(properties.name.decode().rstrip("\0"), (properties.major, properties.minor), driver, runtime)


def used_bytes() -> int:
    """Device memory in use, by all programs."""
    status, free, total = cudart.cudaMemGetInfo()
    assert status == cudart.cudaError_t.cudaSuccess, _text(status)
    return int(total) - int(free)


class DeviceArray:
    """Device memory for an array, zero at first, freed with this object."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.bytes = int(np.prod(shape)) * self.dtype.itemsize
        self.address = int(call(cudart.cudaMalloc, self.bytes))
        weakref.finalize(self, cudart.cudaFree, self.address)
        call(cudart.cudaMemset, self.address, 0, self.bytes)

    def pinned(self) -> NDArray[Any]:
        """A host array of the same shape, zero, in memory that the device can reach by itself."""
        address = call(cudart.cudaHostAlloc, self.bytes, cudart.cudaHostAllocDefault)
        block = (ctypes.c_uint8 * self.bytes).from_address(int(address))
        weakref.finalize(block, cudart.cudaFreeHost, int(address))
        array: NDArray[Any] = np.frombuffer(memoryview(block), self.dtype).reshape(self.shape)
        array[...] = 0
        return array


class Stream:
    """A queue of work for the device; it does one thing after the other."""

    def __init__(self) -> None:
        self._stream = call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self.handle = int(self._stream)
        weakref.finalize(self, cudart.cudaStreamDestroy, self._stream)

    def upload(self, host: NDArray[Any], device: DeviceArray) -> None:
        """Enqueue a copy to the device."""
        kind = _KINDS.cudaMemcpyHostToDevice
        call(cudart.cudaMemcpyAsync, device.address, host.ctypes.data, device.bytes, kind, self._stream)

    def download(self, device: DeviceArray, host: NDArray[Any]) -> None:
        """Enqueue a copy to the host."""
        kind = _KINDS.cudaMemcpyDeviceToHost
        call(cudart.cudaMemcpyAsync, host.ctypes.data, device.address, device.bytes, kind, self._stream)

    def copy_channels(self, source: DeviceArray, target: DeviceArray, first: int, count: int) -> None:
        """Enqueue a copy of the first `count` channels of uint8 [1, h, w, c] to the ones from `first` on."""
        assert source.shape[:-1] == target.shape[:-1], f"{source.shape} to {target.shape}"
        call(
            cudart.cudaMemcpy2DAsync,
            *(target.address + first, target.shape[-1]),
            *(source.address, source.shape[-1]),
            *(count, int(np.prod(source.shape[:-1]))),
            *(_KINDS.cudaMemcpyDeviceToDevice, self._stream),
        )

    def wait(self) -> None:
        """Until everything enqueued is done."""
        call(cudart.cudaStreamSynchronize, self._stream)

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record what `enqueue` would do; the result enqueues all of it at once."""
        call(cudart.cudaStreamBeginCapture, self._stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            enqueue()
        finally:
            status, graph = cudart.cudaStreamEndCapture(self._stream)
        if status != cudart.cudaError_t.cudaSuccess:
            raise RuntimeError(f"cudaStreamEndCapture: {_text(status)}")
        recording = call(cudart.cudaGraphInstantiate, graph, 0)
        call(cudart.cudaGraphDestroy, graph)
        weakref.finalize(self, cudart.cudaGraphExecDestroy, recording)
        return lambda: call(cudart.cudaGraphLaunch, recording, self._stream)


def _text(status: Any) -> str:
    return str(cudart.cudaGetErrorString(status)[1].decode())
