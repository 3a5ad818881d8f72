"""The cache of built engines: two processes, damage, strangers, limits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from engines.cache import ENTRY, Cache, Key
from engines.errors import UserError

KEY = Key(graph="0" * 64, backend="openvino", versions="openvino 1", device="a processor", precision="f32")

BUILDER = """
import sys, time
from pathlib import Path
from engines.cache import Cache
from tests.engines.test_cache import KEY

def build(folder):
    with Path(sys.argv[2]).open("a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    (folder / "engine.plan").write_bytes(b"plan" * 1000)
    return {"chain_db": 50.0}

print(Cache(Path(sys.argv[1])).get_or_build(KEY, "x", build).entry.metrics)
"""


def build(folder: Path) -> dict[str, float]:
    (folder / "engine.plan").write_bytes(b"plan")
    return {"chain_db": 50.0}


def never(_folder: Path) -> dict[str, float]:
    raise AssertionError("built again")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "engines")


def test_builds_once_and_remembers(cache: Cache) -> None:
    assert cache.get(KEY) is None
    first = cache.get_or_build(KEY, "alice/generator", build)
    again = Cache(cache.folder).get_or_build(KEY, "alice/generator", never)
    assert again.entry == first.entry
    assert (again.folder / "engine.plan").read_bytes() == b"plan"
    assert cache.note(again, {"build_s": 1.5}).entry.metrics == {"chain_db": 50.0, "build_s": 1.5}
    (listed,) = cache.entries()
    assert listed.entry.metrics == {"chain_db": 50.0, "build_s": 1.5}
    cache.drop(listed)
    assert cache.get(KEY) is None


def test_every_part_of_the_key_counts(cache: Cache) -> None:
    digests = {KEY.digest}
    for field in KEY.__struct_fields__:
        fields = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
        digests.add(Key(**fields | {field: "another"}).digest)
    assert len(digests) == len(KEY.__struct_fields__) + 1


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program: list[str | Path] = [sys.executable, "-c", BUILDER, tmp_path / "engines", log]
    both = [
        subprocess.Popen(program, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert outputs == ["{'chain_db': 50.0}\n"] * 2
    assert log.read_text() == "built\n"


def test_a_failed_build_leaves_nothing(cache: Cache) -> None:
    def fail(folder: Path) -> dict[str, float]:
        build(folder)
        raise UserError("too far from f32")

    with pytest.raises(UserError, match="too far"):
        cache.get_or_build(KEY, "x", fail)
    assert not [path for path in cache.folder.iterdir() if path.is_dir()]
    assert cache.get_or_build(KEY, "x", build).entry.name == "x"


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "entry", "foreign"])
def test_what_is_damaged_is_built_again(cache: Cache, damage: str) -> None:
    folder = cache.get_or_build(KEY, "x", build).folder
    plan, entry = folder / "engine.plan", folder / ENTRY
    if damage == "flip":
        plan.write_bytes(b"plam")
    elif damage == "cut":
        plan.write_bytes(b"pla")
    elif damage == "delete":
        plan.unlink()
    elif damage == "entry":
        entry.write_bytes(entry.read_bytes()[:-20])
    else:
        entry.write_text(entry.read_text().replace("a processor", "another one"))
    assert cache.get(KEY) is None
    assert cache.entries() == []
    assert (cache.get_or_build(KEY, "x", build).folder / "engine.plan").read_bytes() == b"plan"


def test_an_entry_cannot_point_elsewhere(cache: Cache, tmp_path: Path) -> None:
    folder = cache.get_or_build(KEY, "x", build).folder
    (tmp_path / "elsewhere").write_bytes(b"plan")
    entry = folder / ENTRY
    entry.write_text(entry.read_text().replace('"engine.plan"', '"../../elsewhere"'))
    assert cache.get(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX rights")
def test_a_folder_that_others_can_write_is_refused(cache: Cache) -> None:
    cache.folder.chmod(0o777)
    with pytest.raises(UserError, match="chmod 700"):
        Cache(cache.folder)


def test_prune_keeps_what_was_used_last(cache: Cache) -> None:
    kept = []
    for number in range(3):
        fields = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
        kept.append(cache.get_or_build(Key(**fields | {"options": str(number)}), "x", build))
        os.utime(kept[-1].folder / ENTRY, (time.time() + number,) * 2)
    (cache.folder / ".new-unfinished").mkdir()
    size = kept[0].size_bytes
    assert cache.prune(3 * size) == []
    assert cache.prune(2 * size) == [kept[0].folder]
    os.utime(cache.folder / ".new-unfinished", (0, 0))
    assert cache.prune(2 * size) == [cache.folder / ".new-unfinished"]
    assert len(cache.prune(0)) == 2
    assert cache.entries() == []


def test_what_is_only_read_was_used_nevertheless(cache: Cache) -> None:
    old, new = (msgspec.structs.replace(KEY, options=options) for options in ("old", "new"))
    for age_s, key in ((7200, old), (3600, new)):
        os.utime(cache.get_or_build(key, "x", build).folder / ENTRY, (time.time() - age_s,) * 2)
    found = cache.get(old)
    assert found is not None
    assert cache.prune(found.size_bytes) == [cache.folder / new.digest]
