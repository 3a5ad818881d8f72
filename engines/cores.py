"""Which processor cores this process may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from engines.errors import UserError

CAN_BIND = hasattr(os, "sched_setaffinity")
"""Whether the system lets processes be bound to cores: Windows and macOS do not."""


def usable_cores() -> int:
    """How many there are for this process: fewer than the machine has where it is bound to some."""
    return len(os.sched_getaffinity(0)) if CAN_BIND else os.cpu_count() or 1


@contextmanager
def bound_to(cores: int) -> Iterator[None]:
    """Bind this thread, and what it starts, to the last so many cores that it may use, where the system can.

    Raises:
        UserError: there are not so many.
    """
    if not CAN_BIND:
        yield
        return
    allowed = os.sched_getaffinity(0)
    if cores > len(allowed):
        raise UserError(f"--cores must be at most {len(allowed)} here, not {cores}.")
    os.sched_setaffinity(0, sorted(allowed)[-cores:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
