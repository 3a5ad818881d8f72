"""WHEP against real peers: pixels, refusals, ends of sessions, and that nothing is left behind. WHIP: test_whip.py."""

import asyncio
import contextlib
import gc
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiortc import RTCRtpSender

from server.offer import MAX_CANDIDATES, MAX_OFFER_BYTES, WATCH, OfferError, admit
from server.sessions import HALF_OPEN_PER_ADDRESS
from tests.support.commands import DATA
from tests.support.server_harness import offer_of, open_files, receive, running_server
from tests.support.streams import read_number
from tests.support.waiting import HANG_S, eventually

CHANNEL = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\na=sctp-port:5000\r\n"


async def test_two_videos_arrive_each_in_its_place() -> None:
    async with running_server() as inside:
        _, tracks, _ = await inside.peer()
        alice, bob = await asyncio.gather(receive(tracks[0], 20), receive(tracks[1], 20))
        assert inside.server.viewers == 1
    for pictures, red in ((alice, 40), (bob, 200)):
        numbers = [read_number(rgb) for rgb in pictures]
        assert numbers == sorted(set(numbers))
        assert abs(int(pictures[-1][100, 4, 0]) - red) < 12


async def test_with_one_media_section_only_the_main_stream_is_sent() -> None:
    async with running_server() as inside:
        _, tracks, _ = await inside.peer(videos=1)
        pictures = await receive(tracks[0], 3)
        assert [stream.viewers for stream in inside.streams] == [1, 0]
    assert abs(int(pictures[-1][100, 4, 0]) - 40) < 12


async def test_a_second_media_section_may_stay_empty() -> None:
    async with running_server(streams=1) as inside:
        connection, tracks, _ = await inside.peer(videos=2)
        await receive(tracks[0], 3)
        assert connection.getTransceivers()[1].currentDirection == "inactive"


async def test_many_viewers_share_one_encode() -> None:
    async with running_server(streams=1) as inside:
        tracks = [(await inside.peer(videos=1))[1][0] for _ in range(5)]
        await asyncio.gather(*(receive(track, 5) for track in tracks))
        assert inside.streams[0].viewers == 5
        await eventually(lambda: inside.streams[0].stats.encoded_frames > 30)
        assert inside.streams[0].stats.fps < 40
        stats = await (await inside.http.get("/stats")).json()
        assert stats["viewers"] == 5
        assert stats["streams"][0]["viewers"] == 5


async def test_delete_ends_the_session_and_its_subscriptions() -> None:
    async with running_server() as inside:
        _, tracks, location = await inside.peer()
        await receive(tracks[0], 1)
        assert re.fullmatch(r"/whep/[\w-]{30,}", location)
        async with await inside.http.delete(location) as response:
            assert response.status == 200
        assert inside.server.viewers == 0
        assert [stream.viewers for stream in inside.streams] == [0, 0]
        async with await inside.http.delete(location) as response:
            assert response.status == 404
            assert "no such session" in await response.text()


async def test_a_viewer_that_closes_its_connection_is_forgotten() -> None:
    async with running_server() as inside:
        connection, tracks, _ = await inside.peer()
        await receive(tracks[0], 1)
        await connection.close()
        await eventually(lambda: inside.server.viewers == 0)
        assert [stream.viewers for stream in inside.streams] == [0, 0]


async def test_a_viewer_that_never_connects_is_dropped() -> None:
    offer = await offer_of()
    async with running_server(half_open_s=HANG_S) as inside:
        async with await inside.post(offer) as response:
            assert response.status == 201
        assert inside.server.viewers == 1
    async with running_server(half_open_s=0.3) as inside:
        async with await inside.post(offer) as response:
            assert response.status == 201
        await eventually(lambda: inside.server.viewers == 0)


async def test_when_all_places_are_taken_the_refusal_says_so() -> None:
    offer = await offer_of()
    async with running_server(viewers_limit=2) as inside:
        for status in (201, 201, 503):
            async with await inside.post(offer) as response:
                assert response.status == status
                text = await response.text()
        assert text == "All places are taken."
        assert response.content_type == "text/plain"
        assert response.headers["Retry-After"] == "5"


async def test_all_viewers_share_the_places_however_they_watch() -> None:
    offer = await offer_of()
    async with running_server(viewers_limit=1) as inside:
        async with inside.http.ws_connect("/watch"):
            async with await inside.post(offer) as refusal:
                assert refusal.status == 503
                text = await refusal.text()
            async with inside.http.get("/watch") as refusal:
                assert (refusal.status, await refusal.text()) == (503, text)
                assert refusal.headers["Retry-After"] == "5"
        await eventually(lambda: inside.server.viewers == 0)
        async with await inside.post(offer) as response:
            assert response.status == 201


async def test_stop_closes_every_peer_at_once() -> None:
    async with running_server() as inside:
        viewers = [await inside.peer() for _ in range(3)]
        for _, tracks, _ in viewers:
            await receive(tracks[0], 1)
        async with await inside.post(await offer_of()) as response:  # and one that is half open
            assert response.status == 201
        async with asyncio.timeout(HANG_S):
            await inside.server.stop()
        assert inside.server.viewers == 0
        assert [stream.viewers for stream in inside.streams] == [0, 0]
        await eventually(lambda: all(connection.connectionState == "closed" for connection, _, _ in viewers))


@pytest.mark.parametrize(
    ("change", "sentence", "status"),
    [
        (lambda _: "", "must begin with v=0", 400),
        (lambda _: "hello", "must begin with v=0", 400),
        (lambda sdp: sdp[: sdp.index("m=")], "0 video sections", 422),
        (lambda sdp: sdp + sdp[sdp.index("m=") :] * 2, "3 video sections", 422),
        (lambda sdp: sdp + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * (MAX_CANDIDATES + 1), "candidates", 400),
        (lambda sdp: sdp.replace("a=recvonly", "a=sendonly"), "a=recvonly", 422),
        (lambda sdp: sdp.replace("VP8/", "VP9/").replace("H264/", "AV1/"), "lacks VP8", 422),
        (lambda sdp: re.sub("a=fingerprint.*\r\n", "", sdp), "a=fingerprint", 400),
        (lambda sdp: re.sub("a=setup.*\r\n", "", sdp), "a=setup", 400),
        (lambda sdp: sdp.replace("a=mid:0", "a=rtpmap:x"), "cannot be read as SDP", 400),
        (lambda sdp: re.sub("a=ice-pwd.*\r\n", "", sdp), "contradicts itself", 400),
        (lambda sdp: sdp + CHANNEL * 2, "2 sections for data channels", 422),
        (lambda sdp: sdp + CHANNEL.replace("5000", "0"), "a=sctp-port", 400),
        (lambda sdp: sdp + CHANNEL.replace("UDP/", ""), "UDP/DTLS/SCTP", 400),
        (lambda sdp: sdp[: sdp.index("m=")] + CHANNEL, "0 video sections", 422),
        (lambda sdp: re.sub("m=video [0-9]+", "m=video 0", sdp), "port 0", 422),
        (lambda sdp: sdp + CHANNEL.replace("m=application 9", "m=application 0"), "port 0", 422),
        (lambda sdp: sdp.replace("BUNDLE 0", "BUNDLE 7 0"), "bundles a media section that it does not have", 400),
    ],
)
async def test_a_bad_offer_is_refused_in_a_sentence(change: Callable[[str], str], sentence: str, status: int) -> None:
    async with running_server() as inside, await inside.post(change(await offer_of())) as response:
        assert response.status == status
        assert response.content_type == "text/plain"
        assert sentence in await response.text()
        assert inside.server.viewers == 0


async def test_what_is_no_offer_of_video_is_refused() -> None:
    async with running_server() as inside:
        async with await inside.post(await offer_of(kind="audio")) as response:
            assert response.status == 422
            assert "0 video sections and 1 others" in await response.text()
        async with await inside.post(b"v=0\xff\xfe") as response:
            assert response.status == 400
        async with await inside.post(b"v=0" + b"\n" * MAX_OFFER_BYTES) as response:
            assert response.status == 413
        async with await inside.http.post("/whep", json={}) as response:
            assert response.status == 415
        async with await inside.http.put("/whep", data=b"v=0") as response:
            assert response.status == 405


async def test_audio_may_be_offered_beside_and_is_refused_in_the_answer() -> None:
    """As most players of other people do; theirs leaves the transport out of the bundled section."""
    offer = (DATA / "faults" / "offer_video_audio.sdp").read_bytes()
    async with running_server(streams=1) as inside, await inside.post(offer) as response:
        assert response.status == 201, await response.text()
        sections = (await response.text()).split("m=")[1:]
        assert [section.split(" ")[0] for section in sections] == ["video", "audio"]
        assert "a=sendonly" in sections[0]
        assert "a=inactive" in sections[1]


async def test_no_direction_means_both() -> None:
    offer = (await offer_of()).replace("a=recvonly\r\n", "")
    async with running_server(streams=1) as inside, await inside.post(offer) as response:
        assert response.status == 201, await response.text()


@pytest.mark.parametrize(
    "worst",
    [
        b"a=candidate:" + b".local " * 2_000,
        b"a=rtpmap:97 VP8/90000\r\n" * 400,
        b"a=x\r\n" * 500,
        b"a=\r\n" * 3_000,
    ],
)
async def test_no_offer_holds_up_the_others(worst: bytes) -> None:
    """In processor time, by that of plain ones."""
    offer = (await offer_of()).encode() + worst
    assert len(offer) <= MAX_OFFER_BYTES
    begun_s = time.process_time()
    with contextlib.suppress(OfferError):
        admit(offer, WATCH)
    worst_s = time.process_time() - begun_s
    plain = (await offer_of()).encode()
    plain_s = time.process_time()
    for _ in range(20):
        admit(plain, WATCH)
    assert worst_s < 20 * (time.process_time() - plain_s), "it takes as long as four hundred plain ones"


async def test_compressed_offers_are_refused_unread() -> None:
    headers = {"Content-Type": "application/sdp", "Content-Encoding": "gzip"}
    async with (
        running_server() as inside,
        inside.http.post("/whep", data=b"\x1f\x8b junk", headers=headers) as response,
    ):
        assert response.status in (400, 415)
        assert "Server" not in response.headers


async def test_who_never_connects_cannot_take_every_place() -> None:
    async with running_server(streams=1, half_open_s=HANG_S, viewers_limit=100) as inside:
        statuses = []
        for _ in range(HALF_OPEN_PER_ADDRESS + 3):
            async with await inside.post(await offer_of()) as response:
                statuses.append(response.status)
        assert statuses == [201] * HALF_OPEN_PER_ADDRESS + [503] * 3


def mutated(offer: str, random_: random.Random) -> bytes:
    for _ in range(random_.randint(1, 5)):
        lines = offer.split("\r\n")
        index = random_.randrange(len(lines))
        match random_.randrange(6):
            case 0:
                del lines[index]
            case 1:
                lines.insert(index, random_.choice(lines))
            case 2:
                lines[index] = "a=" + "".join(chr(random_.randint(32, 126)) for _ in range(random_.randint(0, 100)))
            case 3:
                lines[index] = re.sub(r"\d+", lambda _: random_.choice(["-1", "0", "2147483648", "nan"]), lines[index])
            case 4:
                lines[index] = lines[index][: random_.randint(0, len(lines[index]))]
            case 5:
                lines = lines[: max(4, index)]
        offer = "\r\n".join(lines) or "v=0"
    return offer.encode()


async def test_mutated_offers_are_answered_or_refused_and_leave_nothing() -> None:
    random_ = random.Random(7)
    offers = [mutated(await offer_of(videos=1 + number % 2, channel=number % 3 == 0), random_) for number in range(60)]
    async with running_server(half_open_s=0.5) as inside:
        loose_ends: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loose_ends.append(context))
        await (await inside.http.get("/stats")).read()  # so that the client's connection counts as before
        tasks_before, files_before = len(asyncio.all_tasks()), open_files()
        statuses = []
        for offer in offers:
            async with await inside.post(offer) as response:
                statuses.append(response.status)
                assert response.status in (201, 400, 422, 503), (response.status, offer)
            if statuses[-1] == 503:  # all places for those who are connecting are taken: they become free by themselves
                await eventually(lambda: inside.server.viewers == 0)
        assert 10 < statuses.count(400) + statuses.count(422) < 50
        await eventually(lambda: inside.server.viewers == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)
        gc.collect()  # a task that died of an error reports it when it is collected
        assert loose_ends == []
        await eventually(lambda: open_files() <= files_before)
        assert [stream.viewers for stream in inside.streams] == [0, 0]
        inside.server._sessions._half_open_s = HANG_S
        _, tracks, _ = await inside.peer()
        await receive(tracks[0], 3)


def test_offers_are_tidied_for_aiortc() -> None:
    offer = (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
        "a=candidate:0 1 UDP 2122252543 4e0f1d3c-aaaa.local 50000 typ host\r\n"
        "a=candidate:1 1 UDP 2122252543 192.0.2.7 50001 typ host\r\n"
        "a=end-of-candidates\r\na=setup:actpass\r\na=fingerprint:sha-256 AA\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
    )
    admitted = admit(offer.encode(), WATCH)
    tidied = admitted.sdp
    assert admitted.codecs == ("VP8",)
    assert ".local" not in tidied
    assert "end-of-candidates" not in tidied
    assert "192.0.2.7" in tidied
    assert "a=setup:active" in tidied


async def test_aiortc_still_asks_its_sender_for_key_frames() -> None:
    """The contract of the one hook into aiortc's sender: a picture loss calls `_send_keyframe`."""
    assert callable(RTCRtpSender._send_keyframe)
    async with running_server(streams=1) as inside:
        connection, tracks, _ = await inside.peer(videos=1)
        await receive(tracks[0], 3)
        stream, receiver = inside.streams[0], connection.getReceivers()[0]
        await eventually(lambda: stream.stats.keyframes > 0)
        before = stream.stats.keyframes
        [ssrc] = {source.source for source in receiver.getSynchronizationSources()}
        async with asyncio.timeout(HANG_S):
            while stream.stats.keyframes == before:
                await receiver._send_rtcp_pli(ssrc)
                await asyncio.sleep(0.1)


async def test_the_answer_leaves_the_dtls_handshake_to_the_viewer_and_asks_no_stranger_for_our_address() -> None:
    async with running_server() as inside, await inside.post(await offer_of(videos=2)) as response:
        answer = await response.text()
    assert answer.count("a=setup:passive") == 2
    assert set(re.findall(r"a=fingerprint:(\S+)", answer)) == {"sha-256"}, "with more libdatachannel fails at times"
    assert set(re.findall(r"typ (\w+)", answer)) <= {"host"}
    assert {codec.split("/")[0] for codec in re.findall(r"a=rtpmap:\d+ (\S+)", answer)} == {"VP8", "rtx"}
