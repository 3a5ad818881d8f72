"""The mediapipe library behind `--pose mediapipe`. It lives in an environment of its own: its numpy is an older one."""

import importlib.util
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import UserError
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import load_estimator

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-mediapipe" / "bin" / "python"

COMPARE = """
import json
from itertools import islice
from pathlib import Path
import numpy as np
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import load_estimator
from realtime.pose.measure import stature_px
from realtime.pose.skeleton import BODY, FACE, LEFT_HAND, RIGHT_HAND
from realtime.video import read_video

parts = {"body": BODY, "left_hand": LEFT_HAND, "right_hand": RIGHT_HAND, "face": FACE}
own, library = (load_estimator(PoseConfig(estimator=name), threads=1) for name in ("own", "mediapipe"))
same, distances, depths, missed = {part: [] for part in parts}, {part: [] for part in parts}, [], 0
pictures = [rgb for rgb, _ in islice(read_video(Path("tests/data/bob_clip.mp4")), 20, 110)]
for rgb in pictures:
    ours, theirs = own.estimate(rgb), library.estimate(rgb)
    for name, part in parts.items():
        seen = [pose is not None and pose.confidence[part].any() for pose in (ours, theirs)]
        same[name].append(seen[0] == seen[1])
        if all(seen):
            distances[name] += (np.linalg.norm(ours.xy[part] - theirs.xy[part], axis=1) / stature_px(theirs)).tolist()
    missed += theirs is not None and ours is None
    if ours and theirs:
        depths.append(np.corrcoef(ours.depth[BODY], theirs.depth[BODY])[0, 1])
first = library.estimate(pictures[-1])
library.reset()
again = library.estimate(pictures[-1])
assert again and again.confidence.min() >= 0 and again.confidence.max() <= 1
assert library.estimate(pictures[-1][::2, ::2].copy()), "another size is another stream"
try:
    library.estimate(pictures[-1][:, :, 0])
except ValueError as error:
    assert "H W 3" in str(error)
else:
    raise AssertionError("not a picture")
print(json.dumps({
    "same": {name: float(np.mean(each)) for name, each in same.items()},
    "median": {name: float(np.median(each)) for name, each in distances.items()},
    "depth": float(np.median(depths)),
    "missed": missed,
}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    if not PYTHON.with_name("realtime").exists():
        assert "CI" not in os.environ, "CI must have .venv-mediapipe: make .venv-mediapipe/ready"
        pytest.skip("needs the mediapipe library's own environment: make .venv-mediapipe/ready")
    return PYTHON


def run(*arguments: str | Path) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.mediapipe
def test_our_estimator_sees_what_the_library_sees(python: Path) -> None:
    seen = json.loads(run(python, "-c", COMPARE))
    assert seen["missed"] == 0
    assert seen["same"]["body"] >= 0.98, "we also look for small people: bob may be seen a frame earlier"
    assert min(seen["same"].values()) >= 0.9
    assert max(seen["median"].values()) < 0.002, seen
    assert seen["depth"] > 0.99


@pytest.mark.mediapipe
def test_a_live_session_with_the_library(python: Path) -> None:
    last = run(python.with_name("realtime"), "bench", "--pose", "mediapipe", "--seconds", "1")
    assert json.loads(last)["fps"] > 0


def test_without_the_library_the_way_to_install_it_is_named() -> None:
    if importlib.util.find_spec("mediapipe"):
        pytest.skip("it is installed here")
    with pytest.raises(UserError, match=r"3\.11 or 3\.12, .*pip install '.*\[mediapipe\]'") as caught:
        load_estimator(PoseConfig(estimator="mediapipe"), threads=1)
    assert isinstance(caught.value.__cause__, ImportError)
    with pytest.raises(ValueError, match="own, refined or mediapipe, not 'openpose'"):
        load_estimator(PoseConfig(estimator="openpose"), threads=1)  # type: ignore[arg-type]


def test_what_the_library_cannot_do_is_said() -> None:
    for config in (PoseConfig(person="left"), PoseConfig(pose_parts="body"), PoseConfig(pose_effort="lite")):
        with pytest.raises(UserError, match=r"leave out .*--person"):
            load_estimator(replace(config, estimator="mediapipe"), threads=1)
