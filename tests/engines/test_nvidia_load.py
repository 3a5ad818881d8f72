"""NVIDIA engines in the cache, and what is said where the packages or the GPU are missing."""

import importlib.util
from pathlib import Path

import pytest

from engines.backends import BackendName
from engines.cache import Cache
from engines.errors import UserError
from engines.load import load_engine
from engines.nvidia.load import PLAN, build_ahead, build_here, describe_gpu, find_ahead, load_on_gpu
from realtime.subject import load_subject
from tests.support.fake_gpu import needs_no_gpu, needs_rtx

FACE = load_subject("alice").graphs[1]


@needs_rtx
def test_a_plan_is_built_once_and_found_for_every_gpu_that_it_is_for(tmp_path: Path) -> None:
    from engines.nvidia.tensorrt_rtx import read_header

    cache = Cache(tmp_path)
    built = build_ahead(FACE, name="alice/face", targets=("sm120", "sm89"), cache=cache)
    plan = built.folder / PLAN
    assert read_header(plan.read_bytes()).targets == ("sm89", "sm120")
    assert built.entry.metrics["build_s"] > 0
    inode = plan.stat().st_ino
    assert build_ahead(FACE, name="alice/face", targets=("sm89", "sm120"), cache=cache).folder == built.folder
    assert plan.stat().st_ino == inode
    for target, found in (("sm89", built.folder), ("sm120", built.folder), ("sm86", None)):
        entry = find_ahead(FACE, "f16", target, cache)
        assert (entry and entry.folder) == found
    assert find_ahead(FACE, "f32", "sm89", cache) is None
    with pytest.raises(UserError, match="this GPU is sm90: use --backend tensorrt"):
        find_ahead(FACE, "f16", "sm90", cache)


@needs_rtx
def test_a_damaged_plan_is_built_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    plan = build_ahead(FACE, name="alice/face", targets=("sm89",), cache=cache).folder / PLAN
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-1])
    assert build_ahead(FACE, name="alice/face", targets=("sm89",), cache=cache).folder == plan.parent
    assert plan.read_bytes() == whole


@needs_rtx
def test_unknown_targets_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not for sm90\."):
        build_ahead(FACE, name="alice/face", targets=("sm90",), cache=Cache(tmp_path))
    assert not list(tmp_path.iterdir())


@needs_rtx
@needs_no_gpu
def test_without_a_gpu_one_sentence(tmp_path: Path) -> None:
    for attempt in (
        lambda: load_on_gpu(FACE, "tensorrt-rtx", "f16", cache=Cache(tmp_path)),
        lambda: load_engine(FACE, backend="tensorrt-rtx", precision="f16"),
        lambda: describe_gpu("tensorrt-rtx"),
    ):
        with pytest.raises(UserError, match=r"no usable NVIDIA GPU here \(.*\): install its driver"):
            attempt()


@needs_rtx
@needs_no_gpu
def test_torch_without_a_gpu_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torch-cuda backend needs an NVIDIA GPU, and torch .* finds none"):
        load_engine(FACE, backend="torch-cuda", precision="f16")
    with pytest.raises(UserError, match="no usable NVIDIA GPU here"):
        build_here(FACE, name="alice/face", backend="torch-cuda", cache=Cache(tmp_path))
    assert not list(tmp_path.iterdir())


@needs_rtx
@pytest.mark.parametrize("backend", ["tensorrt", "torch-tensorrt"])
def test_missing_packages_name_their_extra(backend: BackendName) -> None:
    if importlib.util.find_spec(backend.replace("-", "_")):
        pytest.skip(f"{backend} is installed")
    with pytest.raises(UserError, match=rf"pip install '.*\[{backend}\]'"):
        describe_gpu(backend)
    with pytest.raises(UserError, match=rf"no usable NVIDIA GPU|pip install '.*\[{backend}\]'"):
        load_engine(FACE, backend=backend, precision="f16")
    with pytest.raises(ValueError, match="precision must be one of f16, f32"):
        load_engine(FACE, backend=backend, precision="int8")
