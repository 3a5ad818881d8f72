"""Waiting for what has to come."""

import asyncio
import time
from collections.abc import Callable

HANG_S = 60.0
"""Ends a test that hangs. No test may depend on it: whatever stands still for seconds, because the machine is busy, is
waited for."""


def until(condition: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait, in the thread, and do something meanwhile."""
    ends_at_s = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < ends_at_s, "it hangs"
        meanwhile()
        time.sleep(0.01)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait, on the event loop."""
    async with asyncio.timeout(HANG_S):
        while not condition():
            await asyncio.sleep(0.02)
