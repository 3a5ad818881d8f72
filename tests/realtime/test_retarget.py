"""The performer into the subject's room: what is said of half bodies."""

import logging

import msgspec
import numpy as np
import pytest

from realtime.frame import Frame
from realtime.live.performer_profile import Profile
from realtime.live.retarget import HALF_BODY, NOTICE_S, PATIENCE_S, Retargeter
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from realtime.subject import load_subject
from tests.support.standing_pose import standing

FPS = 30


def said(fitting: Retargeter, pose: Pose, *, from_s: float, for_s: float) -> list[bool]:
    """Whether the notice was there, frame by frame."""
    rgb, notices = np.zeros((128, 128, 3), np.uint8), []
    for number in range(round(for_s * FPS)):
        fitting.fit(pose, Frame(rgb=rgb, captured_at_s=from_s + number / FPS, number=number))
        notices.append(fitting.notice == HALF_BODY)
    return notices


def test_half_bodies_are_told_once_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    pose = standing()
    confidence = pose.confidence.copy()
    confidence[[INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "heel", "foot_index")]] = 0
    half = Pose(pose.xy, pose.depth, confidence)
    fitting = Retargeter(load_subject("alice").manifest)
    with caplog.at_level(logging.WARNING):
        assert not any(said(fitting, half, from_s=0, for_s=PATIENCE_S / 2)), "just walking in"
        assert not any(said(fitting, pose, from_s=1, for_s=2))
        assert not caplog.messages
        notices = said(fitting, half, from_s=3, for_s=PATIENCE_S + NOTICE_S + 3)
    assert not any(notices[: round(PATIENCE_S * FPS)])
    assert sum(notices) == pytest.approx(NOTICE_S * FPS, abs=1)
    assert not notices[-1]
    assert caplog.messages == [HALF_BODY]


def test_another_performer_begins_anew_but_keeps_the_profile() -> None:
    manifest = load_subject("alice").manifest
    rgb = np.zeros((128, 128, 3), np.uint8)

    def feet(fitting: Retargeter, poses: list[Pose], from_s: float) -> list[float]:
        frames = [Frame(rgb=rgb, captured_at_s=from_s + i / FPS, number=i) for i in range(len(poses))]
        return [fitting.fit(*pair).at("left_ankle")[1] for pair in zip(poses, frames, strict=True)]

    walk = [standing(y=10 * np.sin(i / 10)) for i in range(90)]
    known = manifest.motion.scaled(128 / manifest.height_px)
    for profile in (None, Profile(width_px=128, height_px=128, motion=known)):
        fitting = Retargeter(manifest, profile)
        feet(fitting, walk, 0)
        fitting.reset()
        child = [standing(scale=0.7, x=20, y=35)] * 10
        assert feet(fitting, child, 3) == feet(Retargeter(manifest, profile), child, 3)
        assert fitting.notice is None


def test_who_is_shown_may_change_while_what_is_known_of_the_performer_stays() -> None:
    manifest = load_subject("alice").manifest
    small = msgspec.structs.replace(manifest, motion=manifest.motion.scaled(0.5))
    rgb = np.zeros((128, 128, 3), np.uint8)
    walk = [standing(x=15 * np.sin(i / 15), y=10 * np.sin(i / 10)) for i in range(180)]
    frames = [Frame(rgb=rgb, captured_at_s=i / FPS, number=i) for i in range(len(walk))]
    stays, changes = Retargeter(manifest), Retargeter(manifest)
    for pose, frame in zip(walk[:120], frames[:120], strict=True):
        stays.fit(pose, frame)
        changes.fit(pose, frame)
    changes.exchange(small)
    for pose, frame in zip(walk[120:], frames[120:], strict=True):
        whole, half = stays.fit(pose, frame), changes.fit(pose, frame)
        height_px = np.ptp(whole.xy[:, 1])
        assert np.abs(half.xy - whole.xy / 2).max() < 0.02 * height_px, "the same place in a picture of half the size"
