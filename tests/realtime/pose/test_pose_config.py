"""What is left out, or done more cheaply, and how far that is from the whole."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.economy import Economy
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.estimation.face import Face, FaceTracker
from realtime.pose.estimation.hands import Hand, HandFinder, Side
from realtime.pose.estimation.region import Region, Rgba
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, FACE, LEFT_HAND, REFINED, RIGHT_HAND, UNREFINED
from realtime.video import read_video

CLIP = Path(__file__).parents[2] / "data" / "alice_clip.mp4"
FRAMES = 16


def poses(config: PoseConfig) -> list[Pose]:
    estimator = PoseEstimator(config=config)
    estimated = [estimator.estimate(rgb) for rgb, _ in islice(read_video(CLIP), FRAMES)]
    assert None not in estimated
    return [pose for pose in estimated if pose is not None]


@pytest.fixture(scope="module")
def full() -> list[Pose]:
    return poses(PoseConfig())


@pytest.mark.parametrize(
    ("config", "present"),
    [
        (PoseConfig(pose_parts="body"), {"body"}),
        (PoseConfig(pose_parts="face"), {"body", "face"}),
        (PoseConfig(pose_parts="hands"), {"body", "left", "right"}),
    ],
    ids=str,
)
def test_parts(config: PoseConfig, present: set[str], full: list[Pose]) -> None:
    parts = {"body": BODY, "left": LEFT_HAND, "right": RIGHT_HAND, "face": FACE}
    for pose, whole in zip(poses(config), full, strict=True):
        for name, rows in parts.items():
            expected = whole.xy[rows] if name in present else np.zeros_like(whole.xy[rows])
            np.testing.assert_array_equal(pose.xy[rows], expected)
            assert name in present or not pose.confidence[rows].any()


@pytest.mark.parametrize(("effort", "body"), [("fast", 0.003), ("lite", 0.015)])
def test_cheaper_is_near(effort: str, body: float, full: list[Pose]) -> None:
    config = PoseConfig(pose_effort="fast" if effort == "fast" else "lite")
    off_body, off_hands, seen = [], [], 0
    for pose, whole in zip(poses(config), full, strict=True):
        height = np.ptp(whole.xy[BODY, 1])
        off_body.append(np.median(np.linalg.norm(pose.xy[BODY] - whole.xy[BODY], axis=1)) / height)
        for rows in (LEFT_HAND, RIGHT_HAND):
            if whole.confidence[rows].all() and pose.confidence[rows].all():
                seen += 1
                size = np.ptp(whole.xy[rows], axis=0).max()
                off_hands.append(np.median(np.linalg.norm(pose.xy[rows] - whole.xy[rows], axis=1)) / size)
    assert np.median(off_body) <= body
    assert seen > FRAMES
    assert np.median(off_hands) <= 0.1


def test_the_cheapest_looks_at_the_face_in_every_second_picture(looks: list[str], full: list[Pose]) -> None:
    off = []
    for pose, whole in zip(poses(PoseConfig(pose_effort="lite")), full, strict=True):
        height = np.ptp(whole.xy[BODY, 1])
        off.append(np.linalg.norm(pose.xy[FACE] - whole.xy[FACE], axis=1).mean() / height)
    assert looks.count("face") == len(full) / 2
    assert 0 < np.mean(off) < 0.01


def test_a_running_estimator_becomes_cheaper_and_is_whole_again(full: list[Pose]) -> None:
    """In pictures 4 to 11 it is; before and afterwards it sees what it would have seen."""
    estimator, off, people = PoseEstimator(), [], set()
    for number, (rgb, _) in enumerate(islice(read_video(CLIP), FRAMES)):
        if number in (4, 12):
            estimator.economize(
                Economy(fast_body=True, body_every=3, hands_every=4, face_every=2) if number == 4 else Economy()
            )
        pose = estimator.estimate(rgb)
        assert pose is not None
        off.append(float(np.linalg.norm(pose.xy - full[number].xy, axis=1)[pose.confidence > 0].max()))
        people.add(estimator.track_id)
    assert off[:4] == [0] * 4
    assert all(0 < each < 40 for each in off[4:12]), f"near, but not the same: {off}"
    assert max(off[14:]) < 4, f"nearly the same again: its regions are a little elsewhere: {off}"
    assert len(people) == 1


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MediaPipe's networks look at."""
    found: list[str] = []
    track, find, look = BodyTracker.track, HandFinder.find, FaceTracker._look

    def found_body(tracker: BodyTracker, rgba: Rgba) -> Body | None:
        found.append("body")
        return track(tracker, rgba)

    def found_hand(finder: HandFinder, rgba: Rgba, body: Body, side: Side, last: Hand | None) -> Hand | None:
        found.append(side)
        return find(finder, rgba, body, side, last)

    def found_face(tracker: FaceTracker, rgba: Rgba, region: Region, last: Face | None) -> Face | None:
        found.append("face")
        return look(tracker, rgba, region, last)

    monkeypatch.setattr(BodyTracker, "track", found_body)
    monkeypatch.setattr(HandFinder, "find", found_hand)
    monkeypatch.setattr(FaceTracker, "_look", found_face)
    return found


def test_hands_and_face_are_looked_at_in_turns(looks: list[str]) -> None:
    estimator = PoseEstimator(config=PoseConfig(estimator="own"))
    estimator.economize(Economy(hands_every=4, face_every=2))
    seen = []
    for rgb, _ in islice(read_video(CLIP), 8):
        looks.clear()
        estimator.estimate(rgb)
        seen.append(list(looks))
    assert seen == 2 * [["body", "left", "face"], ["body"], ["body", "right", "face"], ["body"]]


@pytest.mark.parametrize(
    ("economy", "round_"),
    [
        (Economy(hands_every=2), [["body", "left"], ["body"], ["body"], ["body"], ["body", "right"], ["body"]]),
        (Economy(hands_every=2, body_every=3), [["left"], [], ["body"], [], ["right"], ["body"]]),
        (Economy(hands_every=4, body_every=3), [["left"], [], ["body"], [], ["right"], ["body"]]),
    ],
)
def test_where_refiners_follow_the_large_networks_of_hands_and_body_take_turns(
    economy: Economy, round_: list[list[str]], looks: list[str]
) -> None:
    estimator = PoseEstimator()
    rgb, _ = next(read_video(CLIP))
    estimator.estimate(rgb)
    estimator.economize(economy)
    seen = []
    for _ in range(12):
        looks.clear()
        estimator.estimate(rgb)  # the same one: where nothing moves nothing is unsure
        seen.append([each for each in looks if each != "face"])
    assert seen == 2 * round_


def test_a_subject_is_played_with_the_keypoints_it_was_trained_with() -> None:
    own, refined, library = (PoseConfig(estimator=name, person="left") for name in ("own", "refined", "mediapipe"))
    assert (own.skeleton_version, refined.skeleton_version, library.skeleton_version) == (UNREFINED, REFINED, UNREFINED)
    assert own.for_skeleton(UNREFINED) is own
    assert own.for_skeleton(REFINED) == refined
    assert refined.for_skeleton(UNREFINED) == own
    assert library.for_skeleton(REFINED) is library
