"""Video files as phones, cameras and old programs write them."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.video import count_frames, film_length_s, frame_rate, read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA
from tests.support.footage_files import textured, write_film, write_two_tracks
from tests.support.streams import numbered_picture, read_number

FAULTS = DATA / "faults"


def read(path: Path, start_s: float = 0.0) -> tuple[list[Rgb], list[float], list[str]]:
    notes: list[str] = []
    frames = list(read_video(path, start_s, note=notes.append))
    return [rgb for rgb, _ in frames], [at_s for _, at_s in frames], notes


@pytest.mark.parametrize(
    ("name", "frames", "fps"),
    [
        ("bframes.avi", 120, 30),  # AVI: the packets' times are those of decoding
        ("cover_first.mp4", 110, 30),  # a cover picture is the first track
        ("start_1h.mkv", 96, 30),  # the clock begins at one hour
        ("portrait_9x16.mp4", 120, 30),
    ],
)
def test_frames_come_in_order_at_their_times(name: str, frames: int, fps: float) -> None:
    pictures, times_s, notes = read(FAULTS / name)
    assert len(pictures) == count_frames(FAULTS / name) == frames
    assert pictures[0].shape[0] >= 256
    assert times_s == pytest.approx([number / fps for number in range(frames)], abs=2e-3)
    assert frame_rate(FAULTS / name) == pytest.approx(fps, abs=0.01)
    assert not notes
    late, late_s, _ = read(FAULTS / name, 2.0)
    assert late_s == pytest.approx(times_s[-len(late) :], abs=1e-6)
    assert len(late) == frames - 2 * fps
    assert np.array_equal(late[0], pictures[-len(late)])


def test_a_damaged_picture_is_left_out_and_named() -> None:
    pictures, times_s, notes = read(FAULTS / "onebad_h264_noise.mp4")
    assert len(pictures) == 109
    assert times_s[-1] == pytest.approx(109 / 30, abs=1e-3), "the others keep their times"
    assert len(notes) == 1
    assert "1 damaged picture is left out, from 1.7 s on" in notes[0]


@pytest.mark.parametrize("container", ["mkv", "avi"])
def test_several_damaged_pictures_are_counted_and_the_others_keep_their_times(tmp_path: Path, container: str) -> None:
    """Each picture by itself, so that none takes others along; AVI knows no times."""
    path = tmp_path / f"damaged.{container}"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mjpeg", rate=30)
        stream.width = stream.height = numbered_picture(0).shape[0]
        stream.pix_fmt = "yuvj420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            for packet in stream.encode(frame):
                damaged = av.Packet(bytes(packet)[:40] + bytes(packet.size - 40))
                damaged.stream, damaged.time_base = stream, packet.time_base
                damaged.pts, damaged.dts = packet.pts, packet.dts
                film.mux(damaged if number in (7, 8, 30) else packet)
    pictures, times_s, notes = read(path)
    whole = [number for number in range(40) if number not in (7, 8, 30)]
    assert [read_number(rgb) for rgb in pictures] == whole
    assert times_s == pytest.approx([number / 30 for number in whole], abs=1e-3)
    assert "3 damaged pictures are left out, from 0.2 s on" in notes[0]


def test_a_preview_that_moves_is_not_the_film(tmp_path: Path) -> None:
    """Action cameras write a small film of the same beside it, sometimes as the first track."""
    pictures, _, notes = read(write_two_tracks(tmp_path / "two.mp4"))
    assert [read_number(rgb) for rgb in pictures] == list(range(20))
    assert pictures[0].shape == (256, 256, 3)
    assert not notes


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    whole = (FAULTS / "start_1h.mkv").read_bytes()
    (tmp_path / "broken.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    pictures, times_s, notes = read(tmp_path / "broken.mkv")
    assert 30 <= len(pictures) < 96
    assert times_s == sorted(times_s)
    assert f"breaks off after {times_s[-1]:.1f} of 3.2 s" in notes[0]


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "it is empty"), (b"no film at all" * 99, "it is no video, or not whole: copy it again")]
)
def test_what_is_no_film_is_refused_with_what_to_do(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "dance.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"dance\.mp4 cannot be opened: {why}\."):
        next(read_video(path))


def test_a_file_of_noise_is_refused(tmp_path: Path) -> None:
    content = bytearray((FAULTS / "cover_first.mp4").read_bytes())
    with av.open(str(FAULTS / "cover_first.mp4")) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=1) if packet.size]
    for position, size in packets:
        assert position is not None
        content[position : position + size] = bytes([0x55]) * size
    (tmp_path / "noise.mp4").write_bytes(content)
    with pytest.raises(UserError, match="none of its pictures can be decoded"):
        read(tmp_path / "noise.mp4")


def test_hdr_looks_as_on_an_ordinary_display() -> None:
    pictures, _, notes = read(FAULTS / "phone_hdr_hlg.mov")
    assert len(pictures) == 110
    assert len(notes) == 1
    assert "HDR (HLG)" in notes[0]
    wanted = [cv2.resize(rgb, (256, 256), interpolation=cv2.INTER_AREA) for rgb in read(DATA / "alice_clip.mp4")[0]]
    for number in (0, 60, 109):
        difference = pictures[number].astype(float) - wanted[number]
        assert np.abs(difference).mean() < 5
        assert np.abs(difference.mean(axis=(0, 1))).max() < 3, "neither darker nor paler"


@pytest.mark.parametrize(
    ("transfer", "name", "signals"),
    [
        (16, "PQ", (0.38, 0.58, 0.75)),
        (18, "HLG", (0.38, 0.75, 0.97)),
    ],
)
def test_light_is_what_the_standard_says(tmp_path: Path, transfer: int, name: str, signals: tuple[float, ...]) -> None:
    """ITU-R BT.2408, table 1: a grey card of 18 %, diffuse white, and a highlight, in either curve."""
    with av.open(str(tmp_path / "hdr.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = transfer, 9
        for signal in signals:
            picture = np.full((64, 64, 3), round(signal * 65535), np.uint16)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format="yuv420p10le"))
            )
        container.mux(stream.encode(None))
    pictures, _, notes = read(tmp_path / "hdr.mp4")
    assert f"HDR ({name})" in notes[0]
    grey, white, highlight = (float(rgb.mean()) for rgb in pictures)
    assert grey == pytest.approx(255 * (26 / 203) ** (1 / 2.2), abs=3), "26 of 203 nits"
    assert 235 < white < 250, "white, with something left above it"
    assert white < highlight <= 255


def test_wide_gamut_is_converted(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "p3.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p"
        stream.codec_context.color_primaries = 12  # Display P3
        for _ in range(3):
            picture = np.full((64, 64, 3), (200, 100, 80), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    pictures, _, notes = read(tmp_path / "p3.mp4")
    assert "wide gamut" in notes[0]
    red, green, blue = pictures[0][32, 32].tolist()
    assert red > 205, "the same red has a larger number among less saturated ones"
    assert abs(green - 95) < 6
    assert abs(blue - 75) < 8


@pytest.mark.parametrize("name", ["12:30.mp4", "take [1] %03d.mp4", "ärger\udcff.mp4"])
def test_odd_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes((DATA / "faults" / "portrait_9x16.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name))[0]) == 120


def test_a_clock_that_begins_anew_goes_on(tmp_path: Path) -> None:
    """Two takes of a recorder, one behind the other in a file."""
    take = tmp_path / "take.ts"
    with VideoWriter(tmp_path / "take.mp4", 30) as writer:
        for number in range(10):
            writer.write(numbered_picture(number))
    with av.open(str(tmp_path / "take.mp4")) as source, av.open(str(take), "w", format="mpegts") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    (tmp_path / "both.ts").write_bytes(2 * take.read_bytes())
    pictures, times_s, _ = read(tmp_path / "both.ts")
    assert [read_number(rgb) for rgb in pictures] == 2 * list(range(10))
    assert times_s == pytest.approx([number / 30 for number in range(20)], abs=2e-3)


def test_the_rate_is_that_of_the_whole_file(tmp_path: Path) -> None:
    """Phones begin slower or faster than they go on."""
    with av.open(str(tmp_path / "varies.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=1000)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuvj420p"
        at_ms = 0
        for number in range(90):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
            at_ms += 50 if number < 30 else 33
    assert frame_rate(tmp_path / "varies.mkv") == pytest.approx(89 / (30 * 0.05 + 59 * 0.033), rel=1e-3)


def test_a_bare_stream_has_the_rate_that_it_says(tmp_path: Path) -> None:
    """It has no container, whose place FFmpeg takes with 25."""
    path = tmp_path / "bare.h264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"bf": "2"})
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for number in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(stream.encode(None))
    pictures, times_s, _ = read(path)
    assert [read_number(rgb) for rgb in pictures] == list(range(12))
    assert times_s == pytest.approx([number / 24 for number in range(12)])
    assert frame_rate(path) == 24


def test_a_film_that_is_read_again_and_again_leaves_nothing_behind(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "short.mp4", 30) as writer:
        for number in range(3):
            writer.write(numbered_picture(number))
    read(tmp_path / "short.mp4")
    threads = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(20):
        read(tmp_path / "short.mp4")
    assert len(list(Path("/proc/self/task").iterdir())) <= threads + 1


@pytest.mark.parametrize(("across", "down"), [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_a_picture_may_be_mirrored_either_way(tmp_path: Path, across: int, down: int) -> None:
    """The matrix of the track's header (ISO/IEC 14496-12, section 8.3.2)."""
    film = write_film(tmp_path / "film.mp4", [textured(128, 96)] * 3, 1 / 30)
    plain, _, _ = read(film)
    content = bytearray(film.read_bytes())
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", across << 16, 0, 0, 0, down << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "mirrored.mp4").write_bytes(content)
    shown, _, _ = read(tmp_path / "mirrored.mp4")
    assert np.array_equal(shown[0], plain[0][::down, ::across])


def test_nobody_waits_where_the_clock_leaps(tmp_path: Path) -> None:
    times_s = [number / 30 + (3600 if number >= 20 else 0) + (90_000 if number >= 30 else 0) for number in range(40)]
    film = write_film(tmp_path / "leaps.mkv", [numbered_picture(number) for number in range(40)], times_s)
    pictures, shown_s, notes = read(film)
    assert [read_number(rgb) for rgb in pictures] == list(range(40))
    assert shown_s[-1] == pytest.approx(39 / 30, abs=0.1)
    assert shown_s == sorted(set(shown_s))
    assert len(notes) == 1
    assert "its clock leaps 2 times" in notes[0]
    assert frame_rate(film) == pytest.approx(30, rel=0.05)
    assert film_length_s(film) == pytest.approx(40 / 30, abs=0.01)


def test_a_film_with_few_pictures_keeps_its_times(tmp_path: Path) -> None:
    film = write_film(tmp_path / "lapse.mkv", [numbered_picture(number) for number in range(5)], 600.0)
    _, shown_s, notes = read(film)
    assert shown_s == pytest.approx([0, 600, 1200, 1800, 2400])
    assert film_length_s(film) == pytest.approx(3000)
    assert not notes


def test_the_rate_of_films_that_were_joined(tmp_path: Path) -> None:
    """Each begins at the same time of its clock, as transport streams do that were copied behind one another."""
    film = write_film(tmp_path / "one.ts", [numbered_picture(number) for number in range(40)], 1 / 30)
    (tmp_path / "two.ts").write_bytes(2 * film.read_bytes())
    assert frame_rate(tmp_path / "two.ts") == pytest.approx(30, rel=0.02)
    assert film_length_s(tmp_path / "two.ts") == pytest.approx(80 / 30, abs=0.01)
    pictures, shown_s, _ = read(tmp_path / "two.ts")
    assert shown_s[-1] == pytest.approx((len(pictures) - 1) / 30, abs=0.1)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts"])
@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_a_film_lasts_until_its_last_picture_has_been_shown(tmp_path: Path, name: str, fps: int) -> None:
    film = write_film(tmp_path / name, [numbered_picture(number) for number in range(3 * fps)], 1 / fps)
    assert film_length_s(film) == 3


def test_a_file_that_breaks_off_before_its_first_picture_is_damaged(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.webm", [textured(256, 256)] * 30, 1 / 30, codec="libvpx")
    (tmp_path / "broken.webm").write_bytes(film.read_bytes()[:1500])
    with pytest.raises(UserError, match="is damaged: none of its pictures can be decoded"):
        read(tmp_path / "broken.webm")


def test_a_film_of_one_picture(tmp_path: Path) -> None:
    film = write_film(tmp_path / "one.mkv", [numbered_picture(7)], 1 / 30)
    assert frame_rate(film) > 0
    assert film_length_s(film) == pytest.approx(1 / frame_rate(film), abs=0.001)
    assert [read_number(rgb) for rgb in read(film)[0]] == [7]
