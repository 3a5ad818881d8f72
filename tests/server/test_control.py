"""What clients ask for: over data channels, by POST /control and by OSC."""

import asyncio
import gc
import json
import socket
import struct
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from server.control import WAITING, Command, Commands, ControlReply
from server.control_channel import LABEL
from server.osc import listen_to_osc
from server.viewer_peer import FIGURE
from tests.support.server_harness import button, open_files, receive, running_server
from tests.support.waiting import eventually


def told(kept: list[Any]) -> dict[str, Command]:
    """One command of each kind; they keep what they are given."""

    def show(name: str) -> str:
        kept.append(name)
        return f"{name} is shown"

    def fail(_: object) -> None:
        raise ValueError("Not now: the curtain is down.")

    return {
        "wave": button(lambda: kept.append("wave")),
        "mirror": Command("Mirror.", bool, kept.append),
        "subject": Command("Show.", str, show),
        "fade": Command("Fade.", Literal["plate", "in"], kept.append),
        "fail": Command("Fail.", None, fail),
        "break": Command("Break.", None, lambda _: 1 / 0),
    }


@pytest.mark.parametrize(
    ("message", "status", "answer", "kept"),
    [
        ({"command": "wave"}, 200, None, ["wave"]),
        ({"command": "subject", "value": "alice"}, 200, "alice is shown", ["alice"]),
        ({"command": "mirror", "value": False}, 200, None, [False]),
        ({"command": "mirror", "value": "true"}, 200, None, [True]),
        ({"command": "fade", "value": "plate"}, 200, None, ["plate"]),
        ({"command": "fade", "value": "away"}, 422, "away", []),
        ({"command": "wave", "value": 1}, 422, "wave", []),
        ({"command": "mirror"}, 422, "mirror", []),
        ({"command": "jump"}, 404, "choose one of wave, mirror", []),
        ({"command": "fail"}, 422, "the curtain is down", []),
        ({"command": "break"}, 500, "the log says why", []),
        ({"command": "wave", "extra": 1}, 400, "extra", []),
        ([], 400, "no command", []),
    ],
)
async def test_a_command_by_http(message: object, status: int, answer: str | None, kept: list[Any]) -> None:
    given_to: list[Any] = []
    async with (
        running_server(streams=1, commands=told(given_to)) as inside,
        inside.http.post("/control", json=message) as response,
    ):
        reply = await response.json()
        assert (response.status, reply["status"]) == (status, status)
        assert given_to == kept
        said = reply.get("result" if status == 200 else "error")
        assert said == answer if status == 200 else answer in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"command": "mirror", "value": "\xff"}', "application/json", 400),
        (b'{"command": "wave"}', "text/plain", 415),
        (b"x" * 100_000, "application/json", 413),
    ],
)
async def test_a_body_that_is_no_command(body: bytes, kind: str, status: int) -> None:
    async with (
        running_server(streams=1) as inside,
        inside.http.post("/control", data=body, headers={"Content-Type": kind}) as response,
    ):
        assert response.status == status


async def test_it_tells_what_there_is() -> None:
    async with (
        running_server(streams=1, commands=told([]), info=lambda: {"state": {"mirror": True}}) as inside,
        inside.http.get("/control") as response,
    ):
        told_us = await response.json()
        assert told_us["state"] == {"mirror": True}
        assert told_us["commands"]["mirror"] == {"meaning": "Mirror.", "takes": {"type": "boolean"}}
        assert told_us["commands"]["fade"]["takes"] == {"enum": ["in", "plate"]}


async def test_a_viewer_s_commands_are_carried_out_one_at_a_time() -> None:
    kept: list[Any] = []
    async with running_server(commands=told(kept)) as inside:
        _, tracks, _ = await inside.peer(channels=[LABEL])
        [channel] = inside.channels
        await eventually(lambda: channel.readyState == "open")
        replies: list[dict[str, Any]] = []
        channel.on("message", lambda reply: replies.append(json.loads(reply)))
        bad = b'{"command": "mirror", "value": "\xff"}'
        for message in ("wave", b"\xff", bad, '{"command": "jump"}', '{"command": "mirror", "value": true, "id": 7}'):
            channel.send(message)
        await eventually(lambda: len(replies) == 5)
        assert sorted(reply["status"] for reply in replies) == [200, 400, 400, 400, 404]
        assert [reply["id"] for reply in replies if reply["status"] == 200] == [7]
        assert kept == [True]
        await receive(tracks[1], 3)


async def test_every_command_of_a_viewer_is_answered() -> None:
    kept: list[Any] = []
    async with running_server(commands=told(kept)) as inside:
        await inside.peer(channels=[LABEL])
        [channel] = inside.channels
        await eventually(lambda: channel.readyState == "open")
        replies: list[dict[str, Any]] = []
        channel.on("message", lambda reply: replies.append(json.loads(reply)))
        for number in range(50):
            channel.send(json.dumps({"command": "mirror", "value": True, "id": number}))
        await eventually(lambda: len(replies) == 50)
        assert {reply["id"] for reply in replies} == set(range(50))
        assert {reply["status"] for reply in replies} <= {200, 503}
        assert len(kept) == sum(reply["status"] == 200 for reply in replies) >= WAITING


async def test_who_sends_without_end_is_not_heard_for_a_while() -> None:
    leave, waved = asyncio.Event(), list[None]()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(20)
        waved.append(None)

    commands = Commands({"hold": button(hold)})
    asked = [asyncio.create_task(commands.answer('{"command": "hold"}', allowed=True)) for _ in range(3 * WAITING)]
    await eventually(lambda: sum(each.done() for each in asked) == 2 * WAITING)
    leave.set()
    statuses = [reply.status for reply in await asyncio.gather(*asked)]
    assert statuses == [200] * WAITING + [503] * 2 * WAITING
    assert len(waved) == WAITING


async def test_a_viewer_has_one_channel() -> None:
    asked: list[str] = []
    async with running_server(streams=1, commands={"wave": button(lambda: asked.append("wave"))}) as inside:
        await inside.peer(videos=1, channels=["chat", LABEL, LABEL])
        chat, control, second = inside.channels
        await eventually(lambda: chat.readyState == second.readyState == "closed" and control.readyState == "open")
        control.send('{"command": "wave"}')
        await eventually(lambda: asked == ["wave"])


async def test_a_viewer_that_vanishes_leaves_no_channel_behind() -> None:
    async with running_server(commands={"wave": button(lambda: None)}) as inside:
        await (await inside.http.get("/stats")).read()
        tasks_before, files_before = len(asyncio.all_tasks()), open_files()
        for _ in range(3):
            connection, tracks, location = await inside.peer(channels=[LABEL])
            await receive(tracks[0], 1)
            await (await inside.http.delete(location)).read()
            await connection.close()
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)
        assert open_files() <= files_before


async def test_what_is_sent_to_a_page_that_has_gone_is_lost_without_a_word() -> None:
    unheard = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    async with running_server() as inside:
        _, tracks, _ = await inside.peer(channels=[FIGURE])
        await receive(tracks[0], 1)
        await eventually(lambda: inside.server.figures.wanted)
        [peer] = inside.server._sessions._peers.values()
        messages = peer._connection.sctp
        assert messages is not None
        messages.transport.transport._connection._nominated.clear()  # its way, before anybody notices
        inside.server.figures.put("{}")
        await asyncio.sleep(0.05)
    gc.collect()
    await asyncio.sleep(0)
    assert not unheard


def osc(address: str, *values: float | str | bytes) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    dgram: bytes = builder.build().dgram
    return dgram


DEEP = b""
for _ in range(400):
    DEEP = b"#bundle\0" + bytes(8) + struct.pack(">i", len(DEEP)) + DEEP


def bundled(*addresses: str) -> bytes:
    builder = OscBundleBuilder(IMMEDIATELY)
    for address in addresses:
        builder.add_content(OscMessageBuilder(address).build())
    dgram: bytes = builder.build().dgram
    return dgram


async def test_osc_maps_the_same_names() -> None:
    kept: list[Any] = []
    transport = await listen_to_osc(Commands(told(kept)), "127.0.0.1", 0)
    place = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk:
        for packet, expected in (
            (osc("/bodydouble/mirror", 1.0), True),
            (osc("/bodydouble/mirror", 0), False),
            (osc("/bodydouble/subject", "alice"), "alice"),
            (osc("/bodydouble/wave"), "wave"),
            (osc("/bodydouble/wave", 1.0), "wave"),
            (bundled("/bodydouble/wave"), "wave"),
        ):
            desk.sendto(osc("/bodydouble/wave", 0.0), place)  # the button is let go
            for nonsense in (
                *(b"", b"/bodydouble/wave", b"#bundle\0", osc("/other/wave"), osc("/bodydouble/jump", b"x"), DEEP),
            ):
                desk.sendto(nonsense, place)
            desk.sendto(packet, place)
            before: Callable[[], bool] = lambda count=len(kept): len(kept) == count + 1  # type: ignore[misc]  # noqa: E731
            await eventually(before)
            assert kept[-1] == expected
    transport.close()


async def test_of_a_burst_by_osc_the_newest_value_of_each_command_counts() -> None:
    kept: list[Any] = []
    transport = await listen_to_osc(Commands(told(kept)), "127.0.0.1", 0)
    place = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk:
        for number in range(40):
            desk.sendto(osc("/bodydouble/mirror", number % 2), place)
        desk.sendto(osc("/bodydouble/subject", "alice"), place)
        desk.sendto(osc("/bodydouble/mirror", 0), place)
        await eventually(lambda: kept[-2:] == ["alice", False])
    transport.close()


@given(st.text() | st.binary())
def test_no_message_breaks_it(message: str | bytes) -> None:
    reply: ControlReply = asyncio.run(Commands(told([])).answer(message, allowed=True))
    assert reply.status in (200, 400, 404, 422)
