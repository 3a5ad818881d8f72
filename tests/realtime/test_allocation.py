"""Frames of a warm session cost no new memory: what they need comes out of what the frames before gave back."""

import resource
from itertools import islice
from statistics import median

import pytest

from realtime.pose.estimation.config import PoseConfig
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from realtime.subject_engines import open_renderer
from realtime.video import read_video
from tests.support.commands import DATA

WARM_UP = 20
"""Frames; sizes of windows that come later touch their memory then, a few times."""


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="only Linux counts by thread")
def test_a_warm_frame_touches_no_new_page() -> None:
    subject = load_subject("alice")
    renderer = open_renderer(subject)
    track = PoseTrack.of(PoseConfig().for_skeleton(subject.manifest.skeleton_version))
    touched = []
    for number, (rgb, at_s) in enumerate(islice(read_video(DATA / "alice_clip.mp4"), WARM_UP + 60)):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        renderer.step(subject.figure(track.step(rgb, at_s).pose))
        if number >= WARM_UP:
            touched.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)
    assert median(touched) == 0, f"pages of 4 KiB touched by each frame: {touched}"
