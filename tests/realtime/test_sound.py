"""The sound of a video beside other pictures: kept as it is where it can be, and never out of step."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.video import open_sound, read_video
from realtime.video_writer import VideoWriter
from tests.support.films_with_sound import BEEP_S, LENGTH_S, beep_at_s, film_with_sound
from tests.support.streams import numbered_picture


def move_sound(film: Path, out: Path) -> Path:
    with open_sound(film) as sound, VideoWriter(out, 30, sound=sound) as writer:
        for rgb, at_s in read_video(film):
            writer.write(rgb, at_s)
    return out


@pytest.mark.parametrize(
    ("name", "codec", "becomes"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.mkv", "libopus", "opus"),
        ("a.avi", "libmp3lame", "mp3"),
        ("a.ts", "aac", "aac"),  # its AAC has headers of its own, which an .mp4 wants removed
        ("a.mov", "pcm_s16le", "aac"),
        ("a.avi", "pcm_s16le", "aac"),
    ],
)
def test_sound_is_kept_and_in_step(name: str, codec: str, becomes: str, tmp_path: Path) -> None:
    film = film_with_sound(tmp_path / name, codec)
    out = move_sound(film, tmp_path / "out.mp4")
    with av.open(str(film)) as before, av.open(str(out)) as after:
        assert after.streams.audio[0].codec_context.codec.canonical_name == becomes
        assert len(after.streams.audio) == len(after.streams.video) == 1
        if becomes in codec:
            packets = [[bytes(packet) for packet in each.demux(audio=0) if packet.size] for each in (before, after)]
            assert packets[0][-1] == packets[1][-1] or name.endswith("ts"), "not encoded again"
    assert beep_at_s(out) == pytest.approx(beep_at_s(film), abs=0.002)
    assert beep_at_s(out) == pytest.approx(BEEP_S, abs=0.03)


@pytest.mark.parametrize(("codec", "channels"), [("aac", 2), ("pcm_s16le", 1)])
def test_a_clock_that_begins_late_is_set_to_nought(codec: str, channels: int, tmp_path: Path) -> None:
    film = film_with_sound(tmp_path / "late.mkv", codec, begin_s=3600.0, channels=channels)
    assert beep_at_s(move_sound(film, tmp_path / "out.mp4")) == pytest.approx(BEEP_S, abs=0.03)


def test_two_takes_behind_each_other_keep_their_sound(tmp_path: Path) -> None:
    """The recorder's clock begins anew."""
    take = film_with_sound(tmp_path / "take.ts", "aac").read_bytes()
    (tmp_path / "both.ts").write_bytes(2 * take)
    out = move_sound(tmp_path / "both.ts", tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        sound = container.streams.audio[0]
        assert sound.duration is not None
        assert sound.time_base is not None
        assert float(sound.duration * sound.time_base) == pytest.approx(2 * LENGTH_S, abs=0.1)


def test_sound_lies_beside_its_pictures(tmp_path: Path) -> None:
    """Players read a file from front to back."""
    out = move_sound(film_with_sound(tmp_path / "a.mp4", "aac"), tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        places = {"video": list[int](), "audio": list[int]()}
        for packet in container.demux():
            if packet.size and packet.pos is not None:
                places[packet.stream.type].append(packet.pos)
    assert min(places["audio"]) < np.median(places["video"]) < max(places["audio"])


def test_a_silent_film(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "silent.mp4", 30) as writer:
        for number in range(3):
            writer.write(numbered_picture(number))
    with open_sound(tmp_path / "silent.mp4") as sound:
        assert sound is None


def test_times_and_the_comment_are_kept(tmp_path: Path) -> None:
    times_s = [0.0, 0.05, 0.0833, 0.3, 0.30001, 0.4]
    with VideoWriter(tmp_path / "v.mp4", 20, comment="made for a test") as writer:
        for number, at_s in enumerate(times_s):
            writer.write(numbered_picture(number), at_s)
    assert [at_s for _, at_s in read_video(tmp_path / "v.mp4")] == pytest.approx(times_s, abs=1e-5)
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.metadata["comment"] == "made for a test"


def test_the_usual_rates_are_exact(tmp_path: Path) -> None:
    for fps in (Fraction(24_000, 1001), Fraction(25), Fraction(30_000, 1001), Fraction(60_000, 1001), Fraction(120)):
        with VideoWriter(tmp_path / "v.mp4", float(fps)) as writer:
            for number in range(8):
                writer.write(numbered_picture(number), float(number / fps))
        with av.open(str(tmp_path / "v.mp4")) as container:
            assert container.streams.video[0].average_rate == fps
