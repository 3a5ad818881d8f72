"""Training in one process or many, on CPUs or GPUs, on one machine or several, with Lightning Fabric.

The processes share each batch, and the gradients are averaged: what is learnt does not depend on how many there are.
Their number divides the body's batch and the face's, which is 8.
Several machines: start the same command on each with torchrun or SLURM, the run's folder on a shared disk.

    torchrun --nproc-per-node 4 --nnodes 2 ... --no-python trainer train RUN --preset gpu
"""

import inspect
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.precision import Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from engines.cores import usable_cores
from engines.errors import UserError
from trainer.config import Machine

__all__ = ["Fabric", "any_process", "assemble", "describe_machine", "fail_together", "spare_cores"]

_NEW_NAME = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OPTIONS: dict[str, Any] = {"forward_sync_buffers" if _NEW_NAME else "broadcast_buffers": False}
"""Buffers are BatchNorm's statistics, which are the same in every process anyway."""


class _Autocast(MixedPrecision):
    """Autocast that leaves inputs and outputs in float32: in bfloat16 the background would lose its shades."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def assemble(machine: Machine, *batches: int) -> Fabric:
    """Start or join the processes of a training; on one machine the others are started from here, by this very command.

    Args:
        machine: the devices and the precision that were asked for.
        batches: sizes of all batches, over all processes.

    Raises:
        UserError: the machine does not have those devices, or the batches cannot be shared evenly.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    gpus = torch.cuda.device_count()
    cuda = gpus > 0 if machine.accelerator == "auto" else machine.accelerator == "cuda"
    if cuda and not gpus:
        raise UserError("There is no CUDA device here: use --set accelerator=cpu, or install torch with CUDA.")
    devices, nodes = _started()
    if not devices:
        shares = [count for count in range(1, max(1, gpus if cuda else 1) + 1) if math.gcd(*batches) % count == 0]
        devices = shares[-1] if machine.devices == "auto" else machine.devices
    elif machine.devices not in ("auto", devices):
        raise UserError(f"--devices {machine.devices} was asked for, but {devices} were started on each machine.")
    if devices < 1 or math.gcd(*batches) % (devices * nodes):
        words = " and ".join(map(str, batches))
        raise UserError(f"Batches of {words} cannot be shared evenly by {devices * nodes} processes: change either.")
    if cuda and devices > gpus:
        raise UserError(f"--devices {devices} was asked for, but there are only {gpus} GPUs here.")
    half = machine.precision == "bf16" or (machine.precision == "auto" and (not cuda or torch.cuda.is_bf16_supported()))
    device = "cuda" if cuda else "cpu"
    torch.backends.cudnn.benchmark = cuda  # batches are all of one size: measure once which convolutions are fastest
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        plugins=_Autocast("bf16-mixed", device) if half else Precision(),
        strategy=DDPStrategy(**_OPTIONS) if devices * nodes > 1 else "auto",
    )
    fabric.launch()
    return fabric


def describe_machine(fabric: Fabric) -> str:
    """Number and kind of devices, and the precision: "2 CPU cores, bf16"."""
    cuda = fabric.device.type == "cuda"
    count = fabric.world_size * (1 if cuda else torch.get_num_threads())
    half = fabric.strategy.precision.precision == "bf16-mixed"
    return f"{count} {'GPU' if cuda else 'CPU core'}{'s' if count > 1 else ''}, {'bf16' if half else 'f32'}"


def spare_cores(fabric: Fabric) -> int:
    """How many cores of this machine each process has beside its own: none where training itself runs on them."""
    if fabric.device.type == "cpu":
        return 0
    processes_here = min(fabric.world_size, torch.cuda.device_count())
    return max(1, usable_cores() // processes_here - 1)


def any_process(fabric: Fabric, *flags: bool) -> list[bool]:
    """For each flag, whether it is set in any process."""
    counts = fabric.all_reduce(torch.tensor(flags, dtype=torch.float32, device=fabric.device), reduce_op="sum")
    assert isinstance(counts, torch.Tensor)
    return [count > 0 for count in counts.tolist()]


@contextmanager
def fail_together(fabric: Fabric) -> Iterator[None]:
    """A block that raises in all processes if it raises in one, e.g. in the one that writes, on a full disk.

    Without it the others would wait for that one forever in their next collective operation.

    Raises:
        UserError: another process has failed.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised below, once the others know
        failure = error
    if any_process(fabric, failure is not None)[0]:
        raise failure or UserError("Another process of this training has failed: see what it says, then start again.")


def _started() -> tuple[int, int]:
    """Number of processes per machine, and of machines, that torchrun or SLURM started; (0, 1) if neither did."""
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return 0, 1
