"""The Nth person of a film that has fewer is refused; whoever is there is not."""

from pathlib import Path
from typing import Any

import pytest

from engines.errors import UserError
from realtime.live.source import open_source
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.people import check_person
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, command
from tests.support.two_people import ALICE_X, scene


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice beside bob for the last third of a film."""
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    with VideoWriter(path, 30) as writer:
        for number in range(30):
            writer.write(scene(number, ALICE_X if number >= 20 else None))
    return path


def test_who_is_there_now_and_then_may_be_followed(two: Path) -> None:
    for person in ("main", "left", 1, 2):
        check_person(two, PoseConfig(person=person))


def test_who_never_is_is_refused(two: Path) -> None:
    with pytest.raises(UserError, match=r"--person 3: two\.mp4 has 2 people at most"):
        check_person(two, PoseConfig(person=3))


def test_a_film_that_does_not_tell_its_length_is_believed(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.pose.estimation.people.count_frames", lambda film: 0)
    check_person(two, PoseConfig(person=2))


RUN = ("run", "--port", "0")


@pytest.mark.parametrize("words", [(*RUN, "--source"), ("pose",), ("bench", "--source"), ("bench-pose", "--source")])
def test_every_command_refuses(words: tuple[str, ...]) -> None:
    refused = command("realtime", *words, DATA / "bob_clip.mp4", "--person", "7")
    assert_refused(refused, "--person 7", "bob_clip.mp4", "one person")


@pytest.mark.parametrize("option", [("person", 2), ("pose_parts", "body"), ("pose_effort", "fast")])
def test_recorded_poses_take_no_options_of_the_estimator(option: tuple[str, Any]) -> None:
    name, value = option
    config = PoseConfig(**{name: value})
    with pytest.raises(UserError, match=f"{name.replace('_', '-')}.* of no use with poses:"):
        open_source(None, f"poses:{DATA / 'openpose'}", pose=config)


@pytest.mark.parametrize("words", [RUN, ("bench",)])
def test_every_command_refuses_them(words: tuple[str, ...]) -> None:
    refused = command("realtime", *words, "--source", f"poses:{DATA / 'openpose'}", "--pose-parts", "body")
    assert_refused(refused, "--pose-parts", "poses:")
