"""Videos as they come: turned, stretched, of any rate; and the constant rate that is made of them."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.video import read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA
from tests.support.footage_files import textured, write_film, write_two_tracks
from tests.support.numbers import floats
from tests.support.streams import numbered_picture, read_number
from trainer.footage.extract import remux
from trainer.footage.prepared import PictureReader
from trainer.footage.source import constant_rate, open_footage


@pytest.fixture
def corners() -> Rgb:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:20, :30], picture[:20, -30:], picture[-20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


@pytest.mark.parametrize("turn", [90, -90, 180])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_turned_videos_come_upright(turn: int, suffix: str, corners: Rgb, tmp_path: Path) -> None:
    path = write_film(tmp_path / f"turned{suffix}", [corners] * 3, 1 / 30, turn=turn)
    ours, _ = next(read_video(path))
    theirs = cv2.VideoCapture(str(path)).read()[1][:, :, ::-1]  # OpenCV turns by itself
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 3
    assert ours.flags.c_contiguous
    assert next(read_video(path, 0.05))[0].shape == ours.shape


def test_pixels_become_square(corners: Rgb, tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corners, format="rgb24")))
        container.mux(stream.encode(None))
    assert next(read_video(path))[0].shape == (64, 128, 3)


def test_a_video_is_read_from_its_middle(tmp_path: Path) -> None:
    path = write_film(tmp_path / "long.mp4", [numbered_picture(i) for i in range(90)], 1 / 30)
    rest = [(read_number(rgb), at_s) for rgb, at_s in read_video(path, 2.0)]
    assert [number for number, _ in rest] == list(range(60, 90))
    assert rest[0][1] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("source_fps", "fps"),
    [(24, 24), (25, 25), (30, 30), (48, 24), (50, 25), (60, 30), (100, 100 / 3), (120, 30), (30000 / 1001, 29.97)],
)
def test_fast_footage_is_thinned(source_fps: float, fps: float) -> None:
    timing = constant_rate(np.arange(400) / source_fps)
    assert timing.fps == pytest.approx(fps, rel=1e-4)
    assert timing.constant
    assert set(np.diff(timing.picked)) == {round(source_fps / fps)}


@given(floats(24, 240), st.integers(0, 99))
def test_rates_stay_near_30(source_fps: float, seed: int) -> None:
    times_s = np.arange(200) / source_fps
    milliseconds = np.round(times_s * 1000) / 1000
    for timing in (constant_rate(times_s), constant_rate(milliseconds + 5)):
        assert 23.5 <= timing.fps <= 47.5
        assert timing.constant
    shaken = np.sort(times_s + np.random.default_rng(seed).uniform(-0.9, 0.9, 200) / source_fps)
    picked = constant_rate(shaken).picked
    assert (np.diff(picked) >= 0).all()
    assert picked.min() >= 0
    assert picked.max() < 200


def variable(count: int) -> NDArray[np.float64]:
    """30 fps, and 15 in the dark between two and four seconds."""
    times_s = np.arange(3 * count) / 30
    return times_s[[i for i, at_s in enumerate(times_s) if not 2 <= at_s < 4 or i % 2 == 0]][:count]


def test_variable_rates_take_the_nearest_picture() -> None:
    times_s = variable(150)
    timing = constant_rate(times_s)
    assert (timing.constant, timing.source_fps, timing.fps) == (False, 30, 30)
    grid = times_s[0] + np.arange(len(timing.picked)) / 30
    assert np.abs(times_s[timing.picked] - grid).max() <= 0.5 / 15 + 1e-6
    assert len(timing.picked) == round(times_s[-1] * 30) + 1


def test_pictures_of_one_number_only() -> None:
    assert constant_rate(np.zeros(1)).picked.tolist() == [0]
    assert constant_rate(np.zeros(0)).picked.tolist() == []


def test_a_folder_of_pictures(corners: Rgb, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        open_footage(str(tmp_path), None, tmp_path)
    for number in (2, 10, 1):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), np.full_like(corners, number))
    source = open_footage(str(tmp_path), 10, tmp_path)
    assert [(int(rgb[0, 0, 0]), at_s) for rgb, at_s in source.read()] == [(1, 0.0), (2, 0.1), (10, 0.2)]
    assert [int(rgb[0, 0, 0]) for rgb, _ in source.read(0.05)] == [2, 10]
    (tmp_path / "frame3.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"frame3\.jpg"):
        list(open_footage(str(tmp_path), None, tmp_path).read())


def test_videos_know_their_rate(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", [textured(64, 64)] * 3, 1 / 30)
    with pytest.raises(UserError, match="fps is for"):
        open_footage(str(path), 25, tmp_path)


def test_a_copied_video_has_the_very_same_pictures(tmp_path: Path) -> None:
    source, copy = tmp_path / "source.mkv", tmp_path / "copy.mp4"
    write_film(source, [numbered_picture(i) for i in range(70)], 1 / 30)  # with B-frames, and times in milliseconds
    assert remux(source, copy, 30.0, 70)
    assert copy.stat().st_size < 1.1 * source.stat().st_size
    pictures, reader = [rgb for rgb, _ in read_video(source)], PictureReader(copy)
    for number in (0, 1, 40, 7, 69, 68):
        assert np.array_equal(reader.read(number), pictures[number])
    reader.close()


def test_of_two_films_the_larger_one_is_copied(tmp_path: Path) -> None:
    film = write_two_tracks(tmp_path / "12:30.mp4")
    assert remux(film, tmp_path / "copy.mp4", 30.0, 20)
    assert [read_number(rgb) for rgb, _ in read_video(tmp_path / "copy.mp4")] == list(range(20))


def test_what_cannot_be_copied(corners: Rgb, tmp_path: Path) -> None:
    turned = write_film(tmp_path / "turned.mp4", [corners] * 9, 1 / 30, turn=90)
    old = write_film(tmp_path / "old.webm", [corners] * 9, 1 / 30, codec="libvpx")
    plain = write_film(tmp_path / "plain.mp4", [corners] * 9, 1 / 30)
    assert not remux(turned, tmp_path / "a.mp4", 30.0, 9)
    assert not remux(old, tmp_path / "b.mp4", 30.0, 9)
    assert not remux(plain, tmp_path / "c.mp4", 30.0, 8), "pictures are missing"
    assert not remux(DATA / "faults" / "phone_hdr_hlg.mov", tmp_path / "d.mp4", 30.0, 110), "it would look otherwise"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.webm", "plain.mp4", "turned.mp4"]


def test_a_writer_keeps_to_its_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "noise.mp4", 30, crf=10, gop=12, most_bit_s=400_000) as writer:
        for _ in range(150):
            writer.write(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8))
    assert 8 * (tmp_path / "noise.mp4").stat().st_size / 5 < 1.5 * 400_000
