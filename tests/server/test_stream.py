"""One encode for many viewers, judged by a real VP8 decoder."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.frame import Frame
from realtime.live.latest import Latest
from server.encoder import RTP_CLOCK_HZ, CodecName, LiveEncoder, Packet, Rung
from server.stream import KEYFRAME_SPACING_S, SharedStream, StreamStats, _Window
from server.subscription import BACKLOG, PATIENCE, NumberedPacket, Rendition, Subscription
from server.viewer_peer import SpacedRequests
from tests.support.streams import ScriptedCamera, in_thread, numbered_picture, read_number
from tests.support.waiting import HANG_S, eventually, until

BOTH = pytest.mark.parametrize("codec", ["VP8", "H264"])


def encoder(codec: CodecName = "VP8") -> LiveEncoder:
    return LiveEncoder(codec, Rung(bitrate_bps=1_500_000), fps=30)


def decode(packets: Iterable[Packet], codec: CodecName = "VP8") -> list[NDArray[np.uint8]]:
    decoder = av.CodecContext.create("libvpx" if codec == "VP8" else "h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    return [
        np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for packet in packets for frame in decoder.decode(packet)
    ]


def test_wide_pictures_are_shrunk() -> None:
    vp8 = LiveEncoder("VP8", Rung(bitrate_bps=1_500_000, width_px=64), fps=30)
    picture = np.zeros((90, 320, 3), np.uint8)
    picture[:, 160:] = 200
    (shrunk,) = decode(vp8.encode(picture, 0.0, key=True))
    assert shrunk.shape == (18, 64, 3)
    assert abs(int(shrunk[9, 16, 0])) < 20 < 180 < int(shrunk[9, 48, 0])
    narrow = decode(vp8.encode(np.zeros((32, 48, 3), np.uint8), 0.1, key=True))
    assert narrow[0].shape == (32, 48, 3)


@BOTH
def test_every_picture_becomes_one_packet_with_its_time(codec: CodecName) -> None:
    live = encoder(codec)
    times_s = [1000 + number / 30 for number in range(40)]
    packets = [live.encode(numbered_picture(number), at_s, key=False) for number, at_s in enumerate(times_s)]

    assert [len(each) for each in packets] == [1] * 40
    flat = [each[0] for each in packets]
    assert [packet.pts for packet in flat] == [round(at_s * RTP_CLOCK_HZ) for at_s in times_s]
    assert {(packet.time_base.numerator, packet.time_base.denominator) for packet in flat} == {(1, 90_000)}
    assert [packet.is_keyframe for packet in flat] == [True] + [False] * 39
    pictures = decode(flat, codec)
    assert [read_number(rgb) for rgb in pictures] == list(range(40))
    assert {rgb.shape for rgb in pictures} == {(256, 256, 3)}


@BOTH
def test_colours_survive(codec: CodecName) -> None:
    rgb = np.empty((128, 128, 3), np.uint8)
    rgb[...] = (200, 60, 30)
    [decoded] = decode(encoder(codec).encode(rgb, 0.0, key=True), codec)
    assert np.abs(decoded.astype(int) - rgb).max() < 8


@pytest.mark.parametrize(
    ("height_px", "width_px", "sent"), [(97, 256, (96, 256)), (96, 255, (96, 254)), (17, 19, (16, 18))]
)
def test_odd_sizes_lose_their_last_row_or_column(height_px: int, width_px: int, sent: tuple[int, int]) -> None:
    rgb = np.full((height_px, width_px, 3), 128, np.uint8)
    [decoded] = decode(encoder().encode(rgb, 0.0, key=True))
    assert decoded.shape[:2] == sent


@BOTH
def test_a_new_size_begins_at_a_key_frame(codec: CodecName) -> None:
    live = encoder(codec)
    sizes_px = [(256, 256)] * 3 + [(320, 192)] * 3
    packets = [
        packet
        for number, (width_px, height_px) in enumerate(sizes_px)
        for packet in live.encode(
            numbered_picture(number, width_px=width_px, height_px=height_px), number / 30, key=False
        )
    ]
    assert [packet.is_keyframe for packet in packets] == [True, False, False] * 2
    assert [rgb.shape[:2] for rgb in decode(packets, codec)] == [(256, 256)] * 3 + [(192, 320)] * 3


@BOTH
def test_one_key_frame_on_request_even_for_a_repeated_picture(codec: CodecName) -> None:
    live = encoder(codec)
    rgb = numbered_picture(7)
    packets = [live.encode(rgb, 5.0, key=number == 3)[0] for number in range(8)]
    assert [packet.is_keyframe for packet in packets] == [number in (0, 3) for number in range(8)]
    pts = [packet.pts for packet in packets]
    assert pts == [450_000 + number for number in range(8)], "time stood still, the pts must not"


async def next_packets(subscription: Subscription, count: int) -> list[Packet]:
    async with asyncio.timeout(HANG_S):
        return [await subscription.next() for _ in range(count)]


class ScriptedStream(SharedStream[Frame]):
    """Is shown numbered pictures, 30 a second by a clock of its own: nothing depends on how fast all is."""

    def __init__(self) -> None:
        super().__init__("alice", Latest[Frame]())
        self._shown = 0

    async def show(self) -> None:
        """Encode the next picture and hand it to everybody."""
        at_s = self._shown / 30
        picture = Frame(rgb=numbered_picture(self._shown), captured_at_s=at_s, number=self._shown)
        self._handover.put(self._encode(picture, at_s, fresh=True))
        self._shown += 1
        for _ in range(2):  # until it has come to the viewers, and to whom waits for it
            await asyncio.sleep(0)

    async def next(self, subscription: Subscription, count: int) -> list[Packet]:
        """What this viewer takes, for which as many pictures are shown as it needs."""
        packets: list[Packet] = []
        while len(packets) < count:
            coming = asyncio.create_task(subscription.next())
            await asyncio.sleep(0)
            while not coming.done():
                await self.show()
            packets.append(coming.result())
        return packets


async def test_a_late_viewer_starts_at_a_key_frame() -> None:
    camera = ScriptedCamera()
    stream = SharedStream("alice", camera.slot)
    with in_thread(camera.run), in_thread(stream.run):
        early = stream.subscribe()
        first = await next_packets(early, 20)
        late = stream.subscribe()
        second = await next_packets(late, 20)
        stream.unsubscribe(early)
        stream.unsubscribe(late)
    for packets in (first, second):
        assert packets[0].is_keyframe
        numbers = [read_number(rgb) for rgb in decode(packets)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 20
    assert stream.viewers == 0


async def test_key_frame_requests_are_merged() -> None:
    stream, packets = ScriptedStream(), list[Packet]()
    subscription = stream.subscribe()
    for _ in range(60):
        subscription.request_keyframe()
        packets += await stream.next(subscription, 1)
    times_s = [packet.pts / RTP_CLOCK_HZ for packet in packets if packet.is_keyframe and packet.pts is not None]
    assert times_s[-1] > 2 - KEYFRAME_SPACING_S - 0.1
    assert min(np.diff(times_s)) > KEYFRAME_SPACING_S - 0.001
    assert max(np.diff(times_s)) < KEYFRAME_SPACING_S + 1.5 / 30


async def test_nothing_is_encoded_while_nobody_watches() -> None:
    camera = ScriptedCamera()
    encoded: list[int] = []
    stream = SharedStream("alice", camera.slot, on_encoded=lambda picture, _: encoded.append(picture.number))
    with in_thread(camera.run), in_thread(stream.run):
        await eventually(lambda: camera.taken > 10)
        assert encoded == []
        subscription = stream.subscribe()
        await next_packets(subscription, 3)
        stream.unsubscribe(subscription)
        last = camera.taken
        await eventually(lambda: camera.taken > last + 10)
    assert encoded[-1] <= last


def test_the_bench_encodes_always_and_without_a_loop() -> None:
    slot: Latest[Frame] = Latest()
    times: list[tuple[float, float]] = []
    done = threading.Event()

    def note(picture: Frame, encode_s: float) -> None:
        times.append((time.perf_counter() - picture.captured_at_s, encode_s))
        done.set()

    stream = SharedStream("alice", slot, always=True, on_encoded=note)
    with in_thread(stream.run):
        for number in range(5):
            done.clear()
            slot.put(Frame(rgb=numbered_picture(number), captured_at_s=time.perf_counter(), number=number))
            assert done.wait(HANG_S)
        until(lambda: stream.stats.encoded_frames == 5)
    assert len(times) == 5
    assert all(0 < encode_s < latency_s for latency_s, encode_s in times)
    assert stream.stats.keyframes == 1


def test_rates_are_of_the_last_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("server.stream.time", SimpleNamespace(perf_counter=lambda: now_s))
    window = _Window(StreamStats())
    live, sizes = encoder(), list[int]()
    for number in range(30):
        packets = live.encode(numbered_picture(number), number / 30, key=False)
        sizes += [packet.size for packet in packets]
        window.add(packets, 0.004)
        assert window.stats() == StreamStats(), "not yet"
        now_s += 0.99 / 30
    now_s = 101.0
    first = window.stats()
    assert (first.encoded_frames, first.keyframes, first.fps) == (30, 1, 30)
    assert first.bitrate_bps == pytest.approx(8 * sum(sizes))
    assert first.encode_ms == pytest.approx(4)
    assert first.encoded_bytes == sum(sizes)
    now_s = 103.0
    assert window.stats() == StreamStats(encoded_frames=30, keyframes=1, encoded_bytes=sum(sizes))


async def test_a_viewer_of_a_still_source_gets_its_last_picture() -> None:
    camera = ScriptedCamera()
    stream = SharedStream("alice", camera.slot)
    with in_thread(camera.run), in_thread(stream.run):
        await eventually(lambda: camera.taken > 1)
        camera.paused.set()
        await eventually(lambda: not camera.slot.waiting)
        subscription = stream.subscribe()
        packets = await next_packets(subscription, 1)
        stream.unsubscribe(subscription)
    assert read_number(decode(packets)[0]) > 0


async def test_a_lagging_viewer_skips_to_a_key_frame_and_nothing_grows() -> None:
    stream = ScriptedStream()
    lagging, keen = stream.subscribe(), stream.subscribe()
    before = await stream.next(lagging, 5)
    watched = await stream.next(keen, 5)
    for _ in range(60):  # two seconds in which the lagging one takes nothing
        watched += await stream.next(keen, 1)
        assert lagging.waiting <= BACKLOG
    assert lagging.skips >= 1
    assert keen.skips == 0
    assert sum(packet.is_keyframe for packet in watched) == 1, "it asks when it takes again, not before"
    after = await stream.next(lagging, 30)
    assert after[0].is_keyframe, "what waited was dropped as a whole, never a part of what a decoder needs"
    numbers = [read_number(rgb) for rgb in decode([*before, *after])]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 35


async def test_a_busy_event_loop_costs_packets_not_memory() -> None:
    camera, encoded = ScriptedCamera(), list[int]()
    stream = SharedStream("alice", camera.slot, on_encoded=lambda picture, _: encoded.append(picture.number))
    with in_thread(camera.run), in_thread(stream.run):
        subscription = stream.subscribe()
        before = await next_packets(subscription, 5)
        until(lambda: len(encoded) > 5 + 3 * BACKLOG)  # and the loop does nothing
        await asyncio.sleep(0)
        assert subscription.waiting <= BACKLOG
        after = await next_packets(subscription, 30)
        assert subscription.skips >= 1
        stream.unsubscribe(subscription)
    numbers = [read_number(rgb) for rgb in decode([*before, *after])]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 35


async def test_a_gap_in_the_numbers_asks_once_for_a_key_frame() -> None:
    requests: list[None] = []
    there = Rendition("VP8", 0)
    subscription = Subscription(there, lambda _: requests.append(None))
    vp8 = encoder()
    packets = [vp8.encode(numbered_picture(number), number / 30, key=number == 8)[0] for number in range(10)]
    for number, packet in enumerate(packets):
        if number != 4:
            subscription.offer({there: NumberedPacket(number, packet)})
    assert len(requests) == 1
    assert subscription.waiting == 2, "the key frame and what follows it"


async def test_a_key_frame_that_does_not_come_is_asked_for_again() -> None:
    requests: list[Rendition] = []
    full, small = Rendition("VP8", 0), Rendition("VP8", 1)
    subscription = Subscription(full, requests.append)
    live = encoder()
    key, *deltas = [live.encode(numbered_picture(number), number / 30, key=False)[0] for number in range(3 * PATIENCE)]
    for number, packet in enumerate(deltas):
        subscription.offer({full: NumberedPacket(number, packet)})
    assert requests == [full] * 2
    subscription.offer({full: NumberedPacket(0, key)})
    requests.clear()
    subscription.move(1)
    for number, packet in enumerate(deltas):
        await subscription.next()
        subscription.offer({full: NumberedPacket(number + 1, packet), small: NumberedPacket(number, packet)})
    assert requests == [small] * 3, "once at first, and twice again"
    assert subscription.rendition == full


def test_a_stream_outlives_its_event_loop() -> None:
    camera, encoded = ScriptedCamera(), list[int]()
    stream = SharedStream("alice", camera.slot, on_encoded=lambda picture, _: encoded.append(picture.number))

    async def watch(*, leave: bool) -> None:
        subscription = stream.subscribe()
        await next_packets(subscription, 3)
        if leave:
            stream.unsubscribe(subscription)

    with in_thread(camera.run), in_thread(stream.run):
        asyncio.run(watch(leave=False))
        before = len(encoded)
        until(lambda: len(encoded) > before + 5)  # packets for a loop that is closed
        asyncio.run(watch(leave=True))


def test_errors_of_the_source_reach_the_thread_s_owner() -> None:
    class Unplugged:
        def take(self, timeout_s: float) -> Frame | None:
            raise OSError(f"the camera is gone after {timeout_s} s")

    stream = SharedStream("alice", Unplugged())
    with pytest.raises(OSError, match="the camera is gone"):
        stream.run(threading.Event())


def test_h264_is_constrained_baseline_with_its_parameters_at_every_key_frame() -> None:
    live = encoder("H264")
    for number in range(6):
        [packet] = live.encode(numbered_picture(number), number / 30, key=number == 4)
        units = [unit for unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
        kinds = {unit[0] & 0x1F: unit for unit in units}
        assert ({7, 8, 5} <= kinds.keys()) == packet.is_keyframe == (number in (0, 4)), "SPS, PPS, IDR"
        if packet.is_keyframe:
            profile, constraints = kinds[7][1:3]
            assert profile == 0x42
            assert constraints & 0x40, "constrained: what 42e01f promises"


async def test_a_viewer_moves_between_rungs_at_key_frames_and_nobody_pays_for_what_is_not_watched() -> None:
    stream = ScriptedStream()
    moving, staying = stream.subscribe(), stream.subscribe()
    await stream.next(moving, 10)
    sizes = []
    numbers: list[int] = []
    for rung in (2, 1, 0):
        moving.move(rung)
        while moving.rendition.rung != rung:
            await stream.next(moving, 1)
        assert stream.viewers_by_rendition == Counter([("VP8", rung), ("VP8", 0)])
        moving.request_keyframe()
        packets = await stream.next(moving, 20)
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        pictures = decode(packets[keys[0] :])
        sizes.append(pictures[-1].shape[:2])
        if rung == 0:
            numbers = [read_number(rgb) for rgb in pictures]
    assert sizes == [(128, 128), (170, 170), (256, 256)]
    assert numbers == sorted(set(numbers))
    assert staying.rendition.rung == 0
    before = stream._renderings[Rendition("VP8", 2)]._number
    await stream.next(moving, 5)
    assert stream._renderings[Rendition("VP8", 2)]._number == before


async def test_what_a_moving_viewer_gets_can_be_decoded_in_one_go() -> None:
    stream = ScriptedStream()
    viewer = stream.subscribe()
    packets = await stream.next(viewer, 5)
    for rung in (1, 2, 0, 2):
        viewer.move(rung)
        packets += await stream.next(viewer, 15)
    pts = [packet.pts for packet in packets if packet.pts is not None]
    assert pts == sorted(set(pts)), "no picture comes twice"
    pictures = decode(packets)
    assert len(pictures) == len(packets)
    assert len({rgb.shape for rgb in pictures}) == 3


async def test_each_codec_is_encoded_only_while_somebody_watches_it() -> None:
    stream = ScriptedStream()
    vp8, h264 = stream.subscribe("VP8"), stream.subscribe("H264")
    both = await stream.next(vp8, 10), await stream.next(h264, 10)
    for packets, codec in zip(both, ("VP8", "H264"), strict=True):
        assert [read_number(rgb) for rgb in decode(packets, codec)] == [*range(10)]  # type: ignore[arg-type]
    stream.unsubscribe(h264)
    before = stream._renderings[Rendition("H264", 0)]._number
    await stream.next(vp8, 5)
    assert stream._renderings[Rendition("H264", 0)]._number == before


def test_one_viewer_does_not_make_all_pictures_key_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer behind a slow line loses picture after picture, and asks each time."""
    now_s, asked = 100.0, list[float]()
    monkeypatch.setattr("server.viewer_peer.time", SimpleNamespace(monotonic=lambda: now_s))
    request = SpacedRequests(lambda: asked.append(now_s))
    for _ in range(100):
        request()
        now_s += 0.1
    assert len(asked) == 5
    assert min(np.diff(asked)) >= 2
