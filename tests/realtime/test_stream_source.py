"""Streams and pipes, without a network: what is read of a file as if it came by itself."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import count, repeat
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from realtime.frame import Frame
from realtime.live.source import open_source
from realtime.live.source_switch import SourceSwitch
from realtime.live.stream_source import StreamSource
from realtime.video import read_video
from server.sound import Samples
from tests.support.claps import CLAPS_S, FPS, LENGTH_S, LOUD, Onsets, clap_film
from tests.support.commands import DATA
from tests.support.scripted import ScriptedSource
from tests.support.streams import numbered_picture, read_number
from tests.support.waiting import until


def frames_of(source: StreamSource) -> Iterator[Frame]:
    while (frame := source.read()) is not None:
        yield frame


def test_its_sound_is_heard_with_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is not punctual, and a stream's clock may say anything."""
    now_s = 100.0
    monkeypatch.setattr("realtime.live.stream_source.time", SimpleNamespace(perf_counter=lambda: now_s))
    source = StreamSource(str(clap_film(tmp_path / "claps.ts", begin_s=5000.0)), reopen=False)
    assert source.has_sound
    heard = list[Samples]()
    source.listen(heard.append)
    flashes, clicks = Onsets(128), Onsets(LOUD)
    for number in count():
        now_s = 100 + number / FPS + (0.012 if number % 3 else 0.0)
        if (frame := source.read()) is None:
            break
        flashes.add(float(frame.rgb.mean()), frame.captured_at_s)
    for samples in heard:
        for number, value in enumerate(np.abs(samples.pcm).max(axis=1) / 32_768):
            clicks.add(float(value), samples.captured_at_s + number / 48_000)
    assert flashes.times_s == pytest.approx([100 + at_s for at_s in CLAPS_S], abs=0.02)
    assert clicks.times_s == pytest.approx(flashes.times_s, abs=0.03)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_plays_what_is_written_into_it_and_ends_with_its_writer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe, content = tmp_path / "pipe.ts", clap_film(tmp_path / "claps.ts").read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    source, _ = open_source(None, str(pipe))
    assert isinstance(source, StreamSource)
    assert source.has_sound
    assert len(list(frames_of(source))) == LENGTH_S * FPS
    writer.join()
    assert caplog.messages == [f"{pipe} is a pipe. Waiting for somebody to write into it."]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_let_go_when_another_source_is_chosen(tmp_path: Path) -> None:
    pipe, content = tmp_path / "pipe.ts", clap_film(tmp_path / "claps.ts").read_bytes()
    os.mkfifo(pipe)

    def write_until_nobody_reads() -> None:
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            while True:
                file.write(content)

    writer = threading.Thread(target=write_until_nobody_reads, daemon=True)
    writer.start()
    source, black = StreamSource(str(pipe), reopen=False), np.zeros((64, 64, 3), np.uint8)
    switch = SourceSwitch(source)
    assert switch.read()
    switch.exchange(ScriptedSource(repeat(black)))
    frame = switch.read()
    assert frame
    assert frame.rgb is black
    until(lambda: not writer.is_alive())
    assert source.read() is None


def test_what_comes_some_seconds_at_a_time_is_shown_in_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0

    def wait(left_s: float) -> bool:
        nonlocal now_s
        now_s += left_s
        return False

    clock = SimpleNamespace(perf_counter=lambda: now_s)
    monkeypatch.setattr("realtime.live.stream_source.time", clock)
    monkeypatch.setattr("realtime.live.pace.time", clock)
    with av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options={"hls_time": "1"}) as container:
        track = container.add_stream("libx264", rate=30, options={"g": "30"})
        assert isinstance(track, av.VideoStream)
        track.width = track.height = 256
        track.pix_fmt = "yuv420p"
        for number in range(90):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            frame.pts, frame.time_base = number + (9000 if number >= 60 else 0), Fraction(1, 30)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    source = StreamSource(str(tmp_path / "live.m3u8"), reopen=False)
    monkeypatch.setattr(source._pace, "_closed", SimpleNamespace(wait=wait))
    shown_s = [frame.captured_at_s for frame in frames_of(source)]
    assert len(shown_s) == 90
    assert shown_s[:60] == pytest.approx([100 + number / 30 for number in range(60)], abs=0.001)
    assert shown_s[-1] == pytest.approx(100 + (59 + 29) / 30, abs=0.001), "nobody waits for a clock that leaps"


def test_the_sound_follows_a_clock_that_leaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a server begins anew, or learns its time late."""
    now_s = 100.0
    monkeypatch.setattr("realtime.live.stream_source.time", SimpleNamespace(perf_counter=lambda: now_s))
    takes = [clap_film(tmp_path / f"{begin_s}.ts", begin_s=begin_s).read_bytes() for begin_s in (10, 500)]
    (tmp_path / "both.ts").write_bytes(b"".join(takes))
    source, heard = StreamSource(str(tmp_path / "both.ts"), reopen=False), list[Samples]()
    source.listen(heard.append)
    for number in count():
        now_s = 100 + number / FPS
        if source.read() is None:
            break
    assert number == pytest.approx(4 * FPS, abs=2)
    begins_s = [samples.captured_at_s for samples in heard]
    assert min(begins_s) > 99.5
    assert max(begins_s) < now_s + 0.5, "nothing waits for minutes"
    assert sum(len(samples.pcm) for samples in heard) / 48_000 == pytest.approx(4, abs=0.5)


def test_a_stream_without_sound_makes_none() -> None:
    source, heard = StreamSource(str(DATA / "faults" / "portrait_9x16.mp4"), reopen=False), list[Samples]()
    source.listen(heard.append)
    assert not source.has_sound
    assert len(list(frames_of(source))) == 120
    assert not heard


def test_a_damaged_packet_ends_nothing() -> None:
    source = StreamSource(str(DATA / "faults" / "onebad_h264_noise.mp4"), reopen=False)
    assert len(list(frames_of(source))) == 109


def test_pictures_look_as_those_of_a_file() -> None:
    path = DATA / "faults" / "phone_hdr_hlg.mov"
    rgb = next(frames_of(StreamSource(str(path), reopen=False))).rgb
    assert np.array_equal(rgb, next(read_video(path, note=lambda said: None))[0])


def test_pixels_become_square(tmp_path: Path) -> None:
    """Analogue cameras behind an encoder send oblong ones."""
    with av.open(str(tmp_path / "pal.ts"), "w") as container:
        track = container.add_stream("libx264", rate=25)
        assert isinstance(track, av.VideoStream)
        track.width = track.height = 256
        track.pix_fmt = "yuv420p"
        track.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for number in range(3):
            container.mux(track.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(track.encode(None))
    shapes = {frame.rgb.shape for frame in frames_of(StreamSource(str(tmp_path / "pal.ts"), reopen=False))}
    assert shapes == {(256, 372, 3)}


def test_odd_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clap_film(tmp_path / "12:30.ts")
    monkeypatch.chdir(tmp_path)
    assert next(frames_of(StreamSource("12:30.ts", reopen=False))).number == 0


def test_a_stream_that_is_joined_in_the_middle_begins_with_a_whole_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "whole.ts"), "w") as container:
        track = container.add_stream("libx264", rate=30, options={"bf": "3", "g": "15"})
        assert isinstance(track, av.VideoStream)
        track.width = track.height = 256
        track.pix_fmt = "yuv420p"
        for number in range(60):
            container.mux(track.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(track.encode(None))
    content = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(content[len(content) // 3 :])
    source = StreamSource(str(tmp_path / "joined.ts"), reopen=False)
    numbers = [read_number(frame.rgb) for frame in frames_of(source)]
    assert 0 < numbers[0] < 45
    assert numbers == list(range(numbers[0], 60))
