"""What the processes of a training decide together, so that none of them waits for one that has given up."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engines.errors import UserError
from trainer.training.fabric import Fabric


def agree(fabric: Fabric, *wishes: bool) -> list[bool]:
    """Whether any process has each wish."""
    counts = fabric.all_reduce(torch.tensor(wishes, dtype=torch.float32, device=fabric.device), reduce_op="sum")
    assert isinstance(counts, torch.Tensor)
    return [count > 0 for count in counts.tolist()]


@contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """A block in which one process may fail by itself, e.g. the one that writes, for want of room: then all do.

    Raises:
        UserError: another process has failed.
    """
    failure: Exception | None = None
    try:
        yield
    except (OSError, RuntimeError, UserError) as error:
        failure = error
    if agree(fabric, failure is not None)[0]:
        raise failure or UserError("Another process of this training has failed: see what it says, then start again.")
