"""WHIP: publishers, one of which nobody here wrote, and what both endpoints say by HTTP."""

import asyncio
import gc
import queue
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from realtime.live.latest import Latest
from server.ice_server import IceServer
from server.offer import USED_CANDIDATES
from server.protocols import ReceivedPicture
from server.publisher_peer import DECODER_BACKLOG, DecoderQueue
from tests.server.test_sessions import mutated
from tests.support.server_harness import NumberedTrack, ServerHarness, offer_of, open_files, running_server
from tests.support.streams import read_number
from tests.support.waiting import HANG_S, eventually

FRAGMENT = "application/trickle-ice-sdpfrag"
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def publishing_server(**options: Any) -> AsyncIterator[tuple[ServerHarness, Latest[ReceivedPicture]]]:
    inlet = Latest[ReceivedPicture]()
    async with running_server(streams=1, inlet=inlet, **options) as inside:
        yield inside, inlet


async def take(inlet: Latest[ReceivedPicture], timeout_s: float = HANG_S) -> ReceivedPicture:
    picture = await asyncio.to_thread(inlet.take, timeout_s)
    assert picture is not None, "no picture came"
    return picture


def number_of(picture: ReceivedPicture) -> int:
    return read_number(np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8))


async def test_a_publisher_s_pictures_arrive_in_order_and_the_newest_wins() -> None:
    async with publishing_server() as (inside, inlet):
        await inside.publish(NumberedTrack())
        numbers = [number_of(await take(inlet)) for _ in range(10)]
        assert numbers == sorted(set(numbers))
        overtaken = inlet.dropped
        await eventually(lambda: inlet.dropped > overtaken + 10)  # what nobody takes does not wait for its turn
        first, second = await take(inlet), await take(inlet)
        assert numbers[-1] + 10 < number_of(first) < number_of(second)
        assert inside.server.viewers == 0, "a publisher is no viewer"


async def test_the_size_may_change_as_phones_are_turned() -> None:
    async with publishing_server() as (inside, inlet):
        track = NumberedTrack(320, 256)
        await inside.publish(track)
        for size_px in ((320, 256), (256, 320), (640, 480)):
            track.size_px = size_px
            async with asyncio.timeout(HANG_S):
                while ((picture := await take(inlet)).frame.width, picture.frame.height) != size_px:
                    pass
            await take(inlet)


@pytest.mark.skipif("whip" not in av.formats_available, reason="this build of ffmpeg has no WHIP muxer")
async def test_ffmpeg_publishes(tmp_path: Path) -> None:
    """H264 by a program that is not ours. Its own certificate has a curve that OpenSSL refuses, so it gets one."""
    certificate, key = write_certificate(tmp_path)
    async with publishing_server() as (inside, inlet):
        command = [sys.executable, "-m", "tests.support.whip_pusher", f"{inside.server.url}whip", certificate, key]
        with subprocess.Popen(command, cwd=ROOT) as pusher:
            try:
                numbers = [number_of(await take(inlet)) for _ in range(20)]
            finally:
                pusher.kill()
        assert numbers == sorted(set(numbers))


async def test_one_publishes_at_a_time_unless_another_takes_over() -> None:
    async with publishing_server() as (inside, inlet):
        first, _ = await inside.publish(NumberedTrack())
        await take(inlet)
        assert (await (await inside.http.get("/stats")).json())["publisher"] == "live"
        async with await inside.post(await offer_of(direction="sendonly"), "/whip") as response:
            assert response.status == 409
            assert "?takeover" in await response.text()
        _, location = await inside.publish(NumberedTrack(320, 256), "/whip?takeover")
        async with asyncio.timeout(HANG_S):
            while (await take(inlet)).frame.width != 320:
                pass
        await eventually(lambda: first.connectionState == "closed")
        async with await inside.http.delete(location) as response:
            assert response.status == 200
        assert (await (await inside.http.get("/stats")).json())["publisher"] == "awaited"
        await inside.publish(NumberedTrack(480, 256))
        async with asyncio.timeout(HANG_S):
            while (await take(inlet)).frame.width != 480:
                pass


async def test_who_never_connects_keeps_nobody_from_publishing() -> None:
    async with publishing_server() as (inside, inlet):
        for _ in range(2):
            async with await inside.post(await offer_of(direction="sendonly"), "/whip") as response:
                assert response.status == 201
        await eventually(lambda: inside.server._sessions.count("/whip") == 1)
        await inside.publish(NumberedTrack())
        await take(inlet)


async def test_without_an_inlet_nothing_can_be_published() -> None:
    async with running_server() as inside, await inside.post(await offer_of(direction="sendonly"), "/whip") as response:
        assert response.status == 404
        assert (await (await inside.http.get("/stats")).json())["publisher"] is None


async def test_sound_is_taken_but_only_one_video() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        connection.addTransceiver(kind, direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    await connection.close()
    async with publishing_server() as (inside, _):
        async with await inside.post(offer, "/whip") as response:
            assert response.status == 201, await response.text()
            assert (await response.text()).count("a=recvonly") == 2
        for refused, words in (
            (await offer_of(2, direction="sendonly"), "2 video sections"),
            (await offer_of(direction="recvonly"), "a=sendonly"),
            (await offer_of(kind="audio", direction="sendonly"), "0 video sections"),
            ((await offer_of(direction="sendonly")).replace("VP8/", "VP9/").replace("H264/", "AV1/"), "VP8 and H264"),
        ):
            async with await inside.post(refused, "/whip") as response:
                assert response.status == 422
                assert words in await response.text()


async def test_what_the_endpoints_say() -> None:
    servers = [IceServer.parse("stun:127.0.0.1:9"), IceServer.parse("turn:ann:secret@127.0.0.1:9?transport=tcp")]
    async with publishing_server(ice_servers=servers) as (inside, _):
        for path in ("/whep", "/whip"):
            async with inside.http.options(path) as response:
                assert response.status == 200
                assert response.headers["Accept-Post"] == "application/sdp"
                stun, turn = response.headers.getall("Link")
                assert stun == '<stun:127.0.0.1:9>; rel="ice-server"'
                assert turn.startswith('<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="ann"; ')
                assert turn.endswith('credential="secret"; credential-type="password"')
            async with inside.http.get(path) as response:
                assert response.status == 204
            async with inside.http.put(path, data=b"") as response:
                assert response.status == 405
                assert "POST" in response.headers["Allow"]
            async with await inside.post(b"v=0", path, Accept="text/html") as response:
                assert response.status == 406
            async with inside.http.post(path, data=b"v=0", headers={"Content-Type": "text/plain"}) as response:
                assert response.status == 415
                assert response.headers["Accept-Post"] == "application/sdp"


@pytest.mark.parametrize(
    "text", ["stun.example", "http://stun.example", "turn:turn.example", "stun:a:b@stun.example", "turn:a:b@x y"]
)
def test_ice_servers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        IceServer.parse(text)


async def test_the_statuses_of_patch() -> None:
    async with publishing_server() as (inside, inlet):
        connection, location = await inside.publish(NumberedTrack())
        await take(inlet)
        assert re.fullmatch(r"/whip/[\w-]{30,}", location)
        [user] = set(re.findall(r"a=ice-ufrag:(\S+)", connection.localDescription.sdp))
        tag = f'"{location.rpartition("/")[2]}"'
        fragment = f"a=ice-ufrag:{user}\r\na=ice-pwd:{22 * 'p'}\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
        candidate = "a=candidate:1 1 {} 1 {} {} typ host\r\n"
        unusable = candidate.format("tcp", "127.0.0.1", 9) + candidate.format("udp", "x.local", 9)
        unusable += candidate.format("udp", "127.0.0.1", 99999) + "a=end-of-candidates\r\n"
        restart = fragment.replace(user, "another")

        async def status(body: str, match: str | None, kind: str = FRAGMENT, path: str = location) -> int:
            headers = {"Content-Type": kind} | ({} if match is None else {"If-Match": match})
            async with inside.http.patch(path, data=body, headers=headers) as response:
                assert "ETag" not in response.headers
                return response.status

        assert await status(fragment + unusable, tag) == 204
        assert await status(fragment + candidate.format("udp", "127.0.0.1", 9) * 32, tag) == 204
        assert await status(fragment, None) == 428
        assert await status(fragment, f'"other", {tag}') == 204
        assert await status(fragment, '"other"') == 412
        assert await status(fragment, f"W/{tag}") == 412
        assert await status(fragment, tag, "application/sdp") == 415
        assert await status(fragment + "a=candidate:nonsense", tag) == 400
        assert await status(fragment + candidate.format("udp", "127.0.0.1", 9) * 33, tag) == 400
        assert await status("m=video", tag) == 400
        assert await status(restart, "*") == 422
        assert await status(fragment, tag, path="/whip/nobody") == 404
        assert await status(fragment, tag, path=location.replace("whip", "whep")) == 404
        await take(inlet)
        assert len(inside.server._sessions._peers) == 1, "the session goes on"


async def test_candidates_that_trickle_in_are_tried() -> None:
    """The client is told no way to the server, so only the server's checks can find one."""
    async with publishing_server() as (inside, inlet):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        inside.peers.append(connection)
        connection.addTransceiver(NumberedTrack(), direction="sendonly")
        await connection.setLocalDescription(await connection.createOffer())
        hidden = re.compile("a=(?:candidate:.*|end-of-candidates)\r\n")
        own = connection.localDescription.sdp
        async with await inside.post(hidden.sub("", own), "/whip") as response:
            assert response.status == 201
            answer = hidden.sub("", await response.text())
            location, tag = response.headers["Location"], response.headers["ETag"]
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        assert await asyncio.to_thread(inlet.take, 1.0) is None
        wanted = ("a=ice-ufrag", "a=ice-pwd", "m=", "a=mid", "a=candidate")
        fragment = "".join(f"{line}\r\n" for line in own.splitlines() if line.startswith(wanted))
        headers = {"Content-Type": FRAGMENT, "If-Match": tag}
        async with inside.http.patch(location, data=fragment, headers=headers) as response:
            assert response.status == 204
        await take(inlet)


async def test_a_session_tries_only_its_first_candidates() -> None:
    async with publishing_server() as (inside, _):
        offer = re.sub("a=candidate:.*\r\n", "", await offer_of(direction="sendonly"))
        async with await inside.post(offer, "/whip") as response:
            location, tag = response.headers["Location"], response.headers["ETag"]
        [user] = set(re.findall(r"a=ice-ufrag:(\S+)", offer))
        for number in range(3):
            candidates = [
                f"a=candidate:{port} 1 udp 1 127.0.0.1 {9 + 20 * number + port} typ host" for port in range(6)
            ]
            body = "\r\n".join([f"a=ice-ufrag:{user}", "a=mid:0", *candidates])
            async with inside.http.patch(
                location, data=body, headers={"Content-Type": FRAGMENT, "If-Match": tag}
            ) as response:
                assert response.status == 204
        connection = inside.server._sessions._peers[location]._connection
        transport = connection.getTransceivers()[0].receiver.transport.transport
        assert len(transport.getRemoteCandidates()) == USED_CANDIDATES


async def test_mutated_offers_and_fragments_are_refused_and_leave_nothing() -> None:
    random_ = random.Random(11)
    async with publishing_server(half_open_s=0.5) as (inside, inlet):
        loose_ends: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loose_ends.append(context))
        await (await inside.http.get("/stats")).read()
        tasks_before, files_before = len(asyncio.all_tasks()), open_files()
        for _ in range(40):
            async with await inside.post(mutated(await offer_of(direction="sendonly"), random_), "/whip") as response:
                assert response.status in (201, 400, 422, 503), response.status
            if response.status == 201:
                headers = {"Content-Type": FRAGMENT, "If-Match": "*"}
                fragment = mutated(await offer_of(direction="sendonly"), random_)
                async with inside.http.patch(response.headers["Location"], data=fragment, headers=headers) as patched:
                    assert patched.status in (204, 400, 404, 422), patched.status
        await eventually(lambda: not inside.server._sessions._peers)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)
        gc.collect()
        assert loose_ends == []
        await eventually(lambda: open_files() <= files_before)
        inside.server._sessions._half_open_s = HANG_S
        await inside.publish(NumberedTrack())
        await take(inlet)


async def test_what_waits_for_the_decoder_is_bounded() -> None:
    """The contract with aiortc's receiver: it decodes from the queue that replaces its own."""
    async with publishing_server() as (inside, inlet):
        await inside.publish(NumberedTrack())
        await take(inlet)
        [peer] = inside.server._sessions._peers.values()
        [receiver] = peer._connection.getReceivers()
        ours: Any = receiver
        theirs: Any = RTCRtpReceiver("video", receiver.transport)
        lost = ours._RTCRtpReceiver__decoder_error
        assert isinstance(ours._RTCRtpReceiver__decoder_queue, DecoderQueue)
        assert type(theirs._RTCRtpReceiver__decoder_queue) is queue.Queue
        alone = DecoderQueue(lost)
        for number in range(DECODER_BACKLOG):
            alone.put(number)
        assert not lost.is_set()
        alone.put(DECODER_BACKLOG)
        assert lost.is_set(), "a key frame is asked for"
        assert alone.get_nowait() == DECODER_BACKLOG
        assert alone.empty()


def write_certificate(folder: Path) -> tuple[str, str]:
    """A certificate on the curve P-256 and its key, as PEM files."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    paths = folder / "certificate.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(paths[0]), str(paths[1])
