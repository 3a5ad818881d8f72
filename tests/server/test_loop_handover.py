"""From a thread to the event loop, and what becomes of it where the loop is busy or has ended."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from server.loop_handover import LoopHandover
from tests.support.waiting import eventually


async def test_all_that_is_put_is_taken_in_order_on_the_loop() -> None:
    taken, threads = list[int](), set[int]()

    def take(value: int) -> None:
        taken.append(value)
        threads.add(threading.get_ident())

    handover = LoopHandover(take, most=10_000)
    handover.attach()

    def put_all() -> None:
        for value in range(10_000):
            handover.put(value)

    putting = threading.Thread(target=put_all)
    putting.start()
    await eventually(lambda: len(taken) == 10_000)
    putting.join()
    assert taken == list(range(10_000))
    assert threads == {threading.get_ident()}


async def test_while_the_loop_is_busy_one_call_waits_there_and_the_newest_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, taken, calls = asyncio.get_running_loop(), list[int](), list[Callable[[], object]]()
    call_soon = loop.call_soon_threadsafe

    def count(call: Callable[[], object]) -> None:
        calls.append(call)
        call_soon(call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    handover = LoopHandover(taken.append, most=2)
    handover.attach()
    for value in range(5):
        handover.put(value)
    await asyncio.sleep(0)
    assert taken == [3, 4]
    handover.put(5)
    await asyncio.sleep(0)
    assert taken == [3, 4, 5]
    assert len(calls) == 2


def test_it_outlives_its_loop() -> None:
    taken = list[str]()
    handover = LoopHandover(taken.append, most=2)
    handover.put("before the first")

    async def run(said: str) -> None:
        handover.attach()
        handover.put(said)
        await asyncio.sleep(0)

    asyncio.run(run("first"))
    handover.put("after its end")
    standing = asyncio.new_event_loop()
    standing.run_until_complete(run("second"))
    handover.put("while it stands still")
    standing.close()
    asyncio.run(run("third"))
    assert taken == ["first", "second", "third"]


def test_a_call_that_fails_for_another_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    handover = LoopHandover[int](print, most=2)

    def refuse(_: object) -> None:
        raise RuntimeError("broken")

    async def run() -> None:
        handover.attach()
        monkeypatch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", refuse)
        with pytest.raises(RuntimeError, match="broken"):
            handover.put(1)

    asyncio.run(run())
