"""Publishing to others by WHIP: here to another server of ours, which is stopped and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from aiohttp import web
from yarl import URL

from realtime.live.latest import Latest
from server import whip_client
from server.access import Access, Role
from server.app import Server
from server.protocols import ReceivedPicture
from server.whip_client import WhipClient, read_endpoint
from tests.support.streams import moving_streams, read_number
from tests.support.waiting import HANG_S, eventually


@asynccontextmanager
async def publishing(client: WhipClient) -> AsyncIterator[None]:
    task = asyncio.create_task(client.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def newest(inlet: Latest[ReceivedPicture]) -> int:
    """The number of the next picture that arrives."""
    async with asyncio.timeout(HANG_S):
        while (picture := inlet.take(0)) is None:
            await asyncio.sleep(0.01)
    return read_number(np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8))


async def test_it_publishes_and_again_once_the_receiver_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(whip_client, "BACKOFF_S", (0.1, 0.2))
    inlet, access = Latest[ReceivedPicture](), Access.by_new_tokens()

    def receiver(port: int) -> Server:
        with_streams = [shared]
        return Server(with_streams, port=port, inlet=inlet, access=access)

    with moving_streams(1) as [shared]:
        server = receiver(0)
        await server.start()
        endpoint = URL(server.url) / "whip"
        client = WhipClient(endpoint, shared, token=access.tokens[Role.CONTROL])
        async with publishing(client):
            numbers = [await newest(inlet) for _ in range(10)]
            assert numbers == sorted(set(numbers))
            assert client.live
            assert shared.viewers == 1
            await server.stop()
            await eventually(lambda: not client.live and shared.viewers == 0)
            server = receiver(endpoint.port or 0)
            await server.start()
            inlet.take(0)
            assert await newest(inlet) > numbers[-1]
        await eventually(lambda: shared.viewers == 0)
        async with asyncio.timeout(20):  # it has said good-bye: who only falls silent is given up after 30 s
            await eventually(lambda: not server._publishing)
        await server.stop()
    said = [record.message for record in caplog.records if record.name == "server.whip_client"]
    assert len(said) == len(set(said)), "the same is said once"


async def answer_nonsense(_: web.Request) -> web.Response:
    return web.Response(status=201, text="v=0", headers={"Location": "/session"}, content_type="application/sdp")


async def answer_nowhere(_: web.Request) -> web.Response:
    return web.Response(status=201, text="v=0", content_type="application/sdp")


async def answer_no_url(_: web.Request) -> web.Response:
    return web.Response(status=201, text="v=0", content_type="application/sdp", headers={"Location": "http://[::1"})


async def refuse(_: web.Request) -> web.Response:
    return web.Response(status=403)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (answer_nonsense, "cannot be used"),
        (answer_nowhere, "names no session"),
        (answer_no_url, "has no URL"),
        (refuse, "403 Forbidden"),
    ],
)
async def test_whatever_the_receiver_answers_it_says_so_once_and_tries_again(
    handler: object, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(whip_client, "BACKOFF_S", (0.05,))
    tries = 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        answer: web.Response = await handler(request)  # type: ignore[operator]
        return answer

    app = web.Application()
    app.router.add_post("/whip", counted)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tasks_before = len(asyncio.all_tasks())
    with moving_streams(1) as [shared]:
        async with publishing(WhipClient(URL(f"http://127.0.0.1:{port}/whip"), shared)):
            await eventually(lambda: tries >= 3)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)
    await runner.cleanup()
    assert [words in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("text", ["", "example.org/whip", "rtmp://example.org/x", "http://", "http://[", "file:///x"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no WHIP endpoint"):
        read_endpoint(text)
