"""Who is followed when there are several people: alice's clip pasted into bob's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.estimation.person_detector import Person, PersonDetector
from realtime.pose.estimation.person_lock import Clothes, PersonLock, clothes
from realtime.pose.estimation.region import Rgba
from realtime.pose.pose import Pose
from tests.support.commands import DATA
from tests.support.two_people import ALICE_X, BEGIN, FAR_LEFT, FAR_RIGHT, scene


def with_alpha(rgb: Rgb) -> Rgba:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def hips_x(pose: Pose | None) -> float:
    assert pose is not None
    return (pose.at("left_hip")[0] + pose.at("right_hip")[0]) / 2


def bob_x(number: int) -> float:
    with np.load(DATA / "landmarks.npz") as recorded:
        return float(recorded["bob_clip_body"][BEGIN + number, 23:25, 0].mean())


def is_bob(pose: Pose | None, number: int) -> bool:
    return abs(hips_x(pose) - bob_x(number)) < 25


def test_the_detector_finds_everybody() -> None:
    detector = PersonDetector(1)
    both = detector.find(with_alpha(scene(0, FAR_LEFT)))
    assert sorted(round(each.hips[0], -2) for each in both) == [200, 600]
    assert len(detector.find(with_alpha(scene(0, None)))) == 1
    assert detector.find(with_alpha(np.full((540, 960, 3), 90, np.uint8))) == []


def test_ours_is_kept_through_a_crossing() -> None:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body", person="right"))
    assert is_bob(estimator.estimate(scene(0, FAR_LEFT)), 0)
    him, hidden, away = estimator.track_id, 0, 0
    for number in range(75):
        alice_at = int(np.interp(number, (6, 46), (FAR_LEFT, FAR_RIGHT)))
        pose = estimator.estimate(scene(number, alice_at))
        covered = alice_at < bob_x(number) + 80 and alice_at + 290 > bob_x(number) - 80
        if covered:
            hidden += 1
        elif pose is None:
            away += 1
        else:
            assert is_bob(pose, number), f"frame {number} follows her"
    assert hidden > 15
    assert away <= 3
    assert is_bob(pose, 74)
    assert estimator.track_id == him, "he was hidden, not replaced"


def test_the_next_person_at_a_word() -> None:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body", person="left"))
    assert hips_x(estimator.estimate(scene(0, FAR_LEFT))) == pytest.approx(FAR_LEFT + ALICE_X, abs=40)
    her = estimator.track_id
    estimator.next_person()
    assert is_bob(estimator.estimate(scene(1, FAR_LEFT)), 1)
    assert is_bob(estimator.estimate(scene(2, FAR_LEFT)), 2)
    assert estimator.track_id == her + 1
    estimator.next_person()
    assert hips_x(estimator.estimate(scene(3, FAR_LEFT))) == pytest.approx(FAR_LEFT + ALICE_X, abs=40)
    assert estimator.track_id == her + 2


def test_the_next_person_where_there_is_none() -> None:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body"))
    assert is_bob(estimator.estimate(scene(0, None)), 0)
    him = estimator.track_id
    estimator.next_person()
    assert is_bob(estimator.estimate(scene(1, None)), 1)
    assert estimator.track_id == him


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("returns", [True, False])
def test_who_is_away_for_a_while_is_known_by_the_clothes(returns: bool, asked: bool) -> None:
    """Also if the next person was asked for meanwhile: whoever comes back is no other."""
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body"))
    for number in range(5):
        assert estimator.estimate(scene(number, None)) is not None
    him = estimator.track_id
    if asked:
        estimator.next_person()
    for _ in range(60):
        assert estimator.estimate(scene(0, None, bob=False)) is None
    assert estimator.track_id == him, "nobody is no other"
    comes = scene(60, None) if returns else scene(60, FAR_RIGHT, bob=False)
    assert estimator.estimate(comes) is not None
    assert (estimator.track_id == him) is returns


def test_a_glimpse_of_nobody_makes_no_stranger() -> None:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body"))
    estimator.estimate(scene(0, None))
    him = estimator.track_id
    assert estimator.estimate(scene(0, None, bob=False)) is None
    assert estimator.estimate(scene(1, FAR_LEFT, bob=False)) is not None
    assert estimator.track_id == him


def people() -> list[Person]:
    """Far left, near right, middling in the middle."""
    sizes = {100.0: 50.0, 850.0: 120.0, 480.0: 100.0}
    return [Person((x, 300.0), (x, 300.0 - size), (x, 300.0 - 0.5 * size)) for x, size in sizes.items()]


@pytest.mark.parametrize(
    ("choice", "x"), [("main", 480), ("nearest", 850), ("left", 100), ("right", 850), (2, 480), (7, 850)]
)
def test_choices(choice: str | int, x: float) -> None:
    taken = PersonLock(choice).take(np.zeros((540, 960, 4), np.uint8), people())
    assert taken is not None
    assert taken.hips[0] == x


def test_nobody_to_choose_from() -> None:
    assert PersonLock().take(np.zeros((540, 960, 4), np.uint8), []) is None


def test_no_person_before_the_first() -> None:
    with pytest.raises(UserError, match="person"):
        PoseConfig(person=0)


def look(rgb: Rgb, x: float) -> Clothes:
    return clothes(with_alpha(rgb), (x, 280.0), (x, 190.0))


def test_clothes_tell_them_apart() -> None:
    bob, later = look(scene(0, None), bob_x(0)), look(scene(40, None), bob_x(40))
    alice = look(scene(0, FAR_LEFT), FAR_LEFT + ALICE_X)
    assert bob.likeness(later) > 0.8
    assert bob.likeness(alice) < 0.4
    assert bob.towards(alice, 1.0).likeness(alice) == pytest.approx(1)


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(COLOURS, COLOURS)
def test_likeness_is_a_likeness(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    def plain(colour: tuple[int, int, int]) -> Clothes:
        picture: NDArray[np.uint8] = np.full((40, 40, 3), colour, np.uint8)
        return clothes(with_alpha(picture), (20, 30), (20, 10))

    assert plain(one).likeness(plain(one)) == pytest.approx(1)
    assert 0 <= plain(one).likeness(plain(other)) <= 1.0001
    assert plain(one).likeness(plain(other)) == pytest.approx(plain(other).likeness(plain(one)))
