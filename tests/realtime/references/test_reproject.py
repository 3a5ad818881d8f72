"""Reprojection against a slow twin, and with the bundled subject: a rendering moved is nearer to the next one."""

from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import INDEX
from realtime.pose.track import PoseTrack
from realtime.references.bones import Limbs, limbs_of
from realtime.references.inputs import ReferenceInputs
from realtime.references.limb_frames import LimbFrames, Window
from realtime.references.reproject import Rendering, Reprojector, is_near
from realtime.subject import load_subject
from realtime.subject_engines import open_renderer
from realtime.video import read_video
from tests.support.commands import DATA
from tests.support.footage_files import textured
from tests.support.references import WIDTHS, dancer, toy_atlas

SIDE_PX, SCALE = 512, 4
ROOM = textured(SIDE_PX, SIDE_PX)
BEFORE, NOW = dancer(scale=SCALE), dancer(x=3, raised_px=12, scale=SCALE)


def rendering(pose: Pose) -> Rendering:
    """Coloured blocks in a pose, opaque where there are limbs."""
    moved = ReferenceInputs(toy_atlas([(0, BEFORE)], SIDE_PX), ROOM).step(pose)
    share = cv2.cvtColor(cv2.resize((255 * moved.covers).astype(np.uint8), (SIDE_PX, SIDE_PX)), cv2.COLOR_GRAY2RGB)
    picture = ROOM * (1 - share / 255) + moved.picture * (share / 255)
    cut = Rendering.of(np.round(picture).astype(np.uint8), np.asarray(share, np.uint8), ROOM, moved)
    assert cut
    return cut


def twin(last: Rendering, pose: Pose) -> Floats:
    """The same at every pixel, in floats, no box."""
    frames, flow = LimbFrames(Window(0, 0, SIDE_PX, SIDE_PX), step_px=1), np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    frames.place(last.limbs)
    covered = frames.flow(last.limbs, flow)
    frames.place(limbs_of(pose, WIDTHS))
    covers = frames.flow(last.limbs, flow)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    flow /= np.maximum(covers, 1e-4)[..., None]
    person = cv2.remap(last.person.astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    left = np.minimum(8 * covered, 1) * (1 - np.minimum(8 * covers, 1))
    person = np.asarray(person * (1 - left)[..., None], np.float32)
    return np.asarray(ROOM * (1 - person[..., 3:] / 255) + person[..., :3], np.float32)


def test_the_moved_person_is_that_of_the_twin() -> None:
    last = rendering(BEFORE)
    away = np.abs(Reprojector(ROOM).step(last, limbs(NOW)) - twin(last, NOW)).max(axis=2)
    beside = np.abs(last.picture - twin(last, NOW)).max(axis=2)
    assert np.median(away[beside > 20]) <= 2, "where it matters"
    assert np.quantile(away, 0.95) <= 12, "outlines, which fade at a quarter of the resolution"


def test_in_its_own_pose_a_picture_stays_as_it_is() -> None:
    last = rendering(BEFORE)
    np.testing.assert_allclose(Reprojector(ROOM).step(last, limbs(BEFORE)).astype(int), last.picture, atol=4)


def test_where_limbs_were_is_the_room() -> None:
    last = rendering(BEFORE)
    far = dancer(x=40, scale=SCALE)
    moved = Reprojector(ROOM).step(last, limbs(far))
    left = (last.covers == 1) & (rendering(far).covers == 0)
    places = np.kron(cv2.erode(left.astype(np.uint8), np.ones((3, 3), np.uint8)), np.ones((4, 4), bool)) > 0
    assert places.sum() > 2000
    np.testing.assert_array_equal(moved[places], ROOM[places])


def test_who_is_out_of_the_picture_leaves_the_room() -> None:
    moved = Reprojector(ROOM).step(rendering(BEFORE), limbs(dancer(x=300, scale=SCALE)))
    assert np.mean(moved != ROOM) < 0.05, "a rim where limbs fade"


def limbs(pose: Pose, **confidences: float) -> Limbs:
    confidence = pose.confidence.copy()
    for joint, value in confidences.items():
        confidence[INDEX[joint]] = value
    return limbs_of(replace(pose, confidence=confidence), WIDTHS)


def turned(pose: Pose, radians: float) -> Pose:
    """The shoulders and everything else around a vertical axis, seen from far away."""
    x, depth = pose.xy[:, 0] - 64 * SCALE, pose.depth
    sine, cosine = np.float32(np.sin(radians)), np.float32(np.cos(radians))
    xy = np.column_stack([x * cosine - depth * sine + 64 * SCALE, pose.xy[:, 1]])
    return replace(pose, xy=xy.astype(np.float32), depth=(x * sine + depth * cosine).astype(np.float32))


def test_what_is_in_a_rendering_can_be_moved() -> None:
    before = limbs(BEFORE)
    assert is_near(limbs(BEFORE), before)
    assert is_near(limbs(NOW), before)
    assert is_near(limbs(turned(BEFORE, 0.1)), before)
    assert not is_near(limbs(turned(BEFORE, 0.6)), before), "a side that nobody has seen"
    assert not is_near(limbs(dancer(raised_px=60, scale=SCALE)), before), "too far for one picture"
    hidden = limbs(BEFORE, left_wrist=0)
    assert not is_near(before, hidden), "a forearm that comes into sight"
    assert is_near(hidden, before), "one that goes"
    assert is_near(limbs(NOW, left_wrist=0), hidden), "where nothing was seen, nothing was moved"


def body(picture: Rgb, pose: Pose) -> Rgb:
    (left, top), (right, bottom) = pose.xy.min(axis=0).astype(int), pose.xy.max(axis=0).astype(int)
    return picture[max(0, top) : bottom, max(0, left) : right]


@pytest.mark.parametrize("behind", [1, 2])
def test_when_she_moves_a_rendering_that_was_moved_is_nearer_to_the_next_one(behind: int) -> None:
    subject = load_subject("alice")
    assert subject.atlas
    renderer, reprojector = open_renderer(subject), Reprojector(subject.plate)
    track = PoseTrack.of(PoseConfig().for_skeleton(subject.manifest.skeleton_version))
    cuts: list[Rendering] = []
    near_db = []
    for rgb, at_s in islice(read_video(DATA / "alice_clip.mp4", 2.5), 50):
        pose = track.step(rgb, at_s).pose
        assert pose
        picture = renderer.step(subject.figure(pose))
        if len(cuts) >= behind:
            last = cuts[-behind]
            pair = last.picture, reprojector.step(last, limbs_of(pose, subject.atlas.widths))
            near_db.append([psnr_db(body(each, pose), body(picture, pose)) for each in pair])
        cut = renderer.cut()
        assert cut is not None
        np.testing.assert_array_equal(cut.picture, picture)
        cuts.append(cut)
    kept_db, moved_db = np.array(sorted(near_db))[: len(near_db) // 4].T
    assert np.mean(moved_db) > np.mean(kept_db) + 1


def test_nobody_cannot_be_moved() -> None:
    subject = load_subject("alice")
    renderer = open_renderer(subject)
    assert renderer.cut() is None
    renderer.step(subject.figure(None))
    assert renderer.cut() is None
