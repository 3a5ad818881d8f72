"""What viewers ask for over their data channels."""

import asyncio

from server.control import LABEL, SPACING_S
from tests.support.server_harness import open_files, receive, running_server, until


async def test_a_viewer_s_commands_are_carried_out_one_at_a_time() -> None:
    asked: list[str] = []
    commands = {name: lambda name=name: asked.append(name) for name in ("wave", "jump")}
    async with running_server(commands=commands) as inside:
        _, tracks, _ = await inside.peer(channels=[LABEL])
        [channel] = inside.channels
        await until(lambda: channel.readyState == "open")
        nothing: list[str | bytes] = ["", b"wave", "x" * 200_000, "next-person", "WAVE"]
        for message in [*nothing, "wave", *["jump"] * 50]:
            channel.send(message)
        await until(lambda: asked == ["wave"])
        await asyncio.sleep(1.5 * SPACING_S)
        channel.send("jump")
        await until(lambda: asked == ["wave", "jump"])
        await receive(tracks[1], 3)


async def test_a_viewer_has_one_channel() -> None:
    asked: list[str] = []
    async with running_server(streams=1, commands={"wave": lambda: asked.append("wave")}) as inside:
        await inside.peer(videos=1, channels=["chat", LABEL, LABEL])
        chat, control, second = inside.channels
        await until(lambda: chat.readyState == second.readyState == "closed" and control.readyState == "open")
        control.send("wave")
        await until(lambda: asked == ["wave"])


async def test_a_viewer_that_vanishes_leaves_no_channel_behind() -> None:
    async with running_server(commands={"wave": lambda: None}) as inside:
        await (await inside.http.get("/stats")).read()
        tasks_before, files_before = len(asyncio.all_tasks()), open_files()
        for _ in range(3):
            connection, tracks, location = await inside.peer(channels=[LABEL])
            await receive(tracks[0], 1)
            await (await inside.http.delete(location)).read()
            await connection.close()
        await until(lambda: len(asyncio.all_tasks()) <= tasks_before)
        assert open_files() <= files_before
