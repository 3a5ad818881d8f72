"""Which part of the footage the network sees, and of which size, so that the person is whole in it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engines.errors import UserError
from realtime.pose.pose import Pose
from tests.support.commands import DATA, command_here
from tests.support.footage_files import swaying
from tests.support.standing_pose import standing
from trainer.footage.crop import Crop, best_crop, default_size, tight_crop
from trainer.footage.prepared import load_prepared

PHONE, TELEVISION = (288, 512), (1920, 1080)


@pytest.mark.parametrize(
    ("whole", "poses", "size_px"),
    [
        (PHONE, swaying(60, scale=3.4, x=30, y=20, by_px=10), (416, 640)),  # a phone on its end, head to toes
        (PHONE, swaying(60, scale=1.8, x=80, y=100, by_px=10), (512, 512)),  # far away: a square holds the person
        (TELEVISION, swaying(60, scale=7.0, x=500, y=60, by_px=20), (512, 512)),
        (TELEVISION, swaying(60, scale=7.0, x=450, y=60, by_px=360, grow=0), (544, 480)),  # steps far to both sides
        (TELEVISION, [], (512, 512)),
    ],
)
def test_the_size_follows_the_footage(whole: tuple[int, int], poses: Sequence[Pose], size_px: tuple[int, int]) -> None:
    assert default_size(poses, whole) == size_px
    width, height = size_px
    assert width % 32 == height % 32 == 0
    assert abs(width * height / 512**2 - 1) < 0.05, "it costs what a square does"
    if poses:
        assert best_crop(poses, whole, size_px).holds(poses, whole) > 0.95


def test_a_chosen_part_keeps_its_proportions() -> None:
    crop = Crop.chosen((10, 20, 1280, 720), TELEVISION, None)
    assert crop.size_px == (672, 384)
    assert crop.box == (20, 20, 1260, 720)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (
            (500, 500, 12, 12),
            "--crop 500,500,12,12 is too small: 16 pixels are the least, of its width and its height.",
        ),
        ((500, 500, 16, 12), "too small"),
        ((500, 500, 16, 16), "--crop 500,500,16,16 is not inside of the pictures of 512x512."),
    ],
)
def test_a_part_is_told_what_is_wrong_with_it(box: tuple[int, int, int, int], said: str) -> None:
    with pytest.raises(UserError) as refused:
        Crop.chosen(box, (512, 512), None)
    assert said in str(refused.value)


def test_a_portrait_film_makes_a_portrait_subject(tmp_path: Path) -> None:
    """With a square the report names the sides that are cut, and the size; then head, feet and hands are in it."""
    run: list[str | Path] = [DATA / "faults" / "portrait_9x16.mp4", "--out", tmp_path / "run", "--pose", "own"]
    square = command_here("trainer", "prepare", *run, "--size", "512", "--only-report")
    assert square.returncode == 0, square.stderr
    assert "at top (head), bottom (feet): use --size 384x672" in " ".join(square.stdout.split())
    done = command_here("trainer", "prepare", *run)
    assert done.returncode == 0, done.stderr
    assert "Scanning" not in done.stdout, "once is enough"
    about = load_prepared(tmp_path / "run" / "data")
    assert about.size_px == (384, 672)
    assert json.loads((tmp_path / "run" / "data" / "prepare.json").read_bytes())["crop"] == [0, 8, 288, 504]


def test_nobody_fills_a_point() -> None:
    point = standing()
    point.xy[:] = 50
    assert tight_crop([point] * 9, (640, 480), (64, 64)) is None
    tight = tight_crop([standing()] * 9, (640, 480), (64, 64))
    assert tight is not None
    assert min(tight.width, tight.height) > 80
