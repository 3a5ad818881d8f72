"""Files are whole or not there: while others write them, after errors, after a power failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines import files
from engines.errors import UserError
from engines.files import cache_folder, check_writable, draft_of, errors_named, replace_file, sha256, write_file

OTHER = """
import sys
from pathlib import Path
from engines.files import write_file
write_file(Path(sys.argv[1]), b"theirs")
"""


def test_readers_find_the_old_content_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    write_file(path, b"old")
    with replace_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    with pytest.raises(TypeError), replace_file(path) as file:
        file.writelines([b"ne", "w"])  # type: ignore[list-item]
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, b"old")]


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    draft_of(path).symlink_to("/nowhere/file")
    with pytest.raises(FileNotFoundError) as refused, replace_file(path):
        pass
    assert refused.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as missing, errors_named(tmp_path / "eva", tmp_path / ".eva.new"):
        (tmp_path / ".eva.new" / "subject.json").read_bytes()
    assert missing.value.filename == str(tmp_path / "eva" / "subject.json")


def test_places_that_cannot_be_written_are_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "folder" / "file", tmp_path / "file"):
        check_writable(path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "nothing is left"
    for path in (Path("/proc"), Path("/proc/dance.mp4"), Path("/proc/new/dance.mp4"), tmp_path / "file" / "run"):
        with pytest.raises(UserError, match=f"^{path} cannot be written"):
            check_writable(path)


def test_two_processes_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replace_file(path) as file:
        file.write(b"ou")
        subprocess.run([sys.executable, "-c", OTHER, path], check=True, cwd=Path(__file__).parents[2])
        assert path.read_bytes() == b"theirs"
        file.write(b"rs")
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, b"ours")]


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done = tmp_path / "file", list[str]()
    monkeypatch.setattr(os, "fsync", lambda _: done.append("content" if draft_of(path).exists() else "too late"))
    monkeypatch.setattr(files, "sync_folder", lambda _: done.append("folder" if path.exists() else "too early"))
    write_file(path, b"new")
    assert done == ["content", "folder"]


def test_the_hash_is_of_all_contents(tmp_path: Path) -> None:
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    for path, content in ((one, b"a" * 70_000), (two, b"b"), (both, b"a" * 70_000 + b"b")):
        write_file(path, content)
    assert sha256(one, two) == sha256(both)
    assert sha256(two) == "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"


def test_without_a_home_there_is_a_place_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder().parent.name == f"bodydouble-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder() == Path("/var/cache/bodydouble")


def test_drafts_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    old, new, other = (tmp_path / f"{name}.new" for name in ("a [1].png.17", "a [1].png.18", "b.png.17"))
    folder = tmp_path / "a [1].png.19.new"
    for draft in (old, new, other, folder / "generator.onnx"):
        draft.parent.mkdir(exist_ok=True)
        draft.touch()
    for draft in (old, other, folder):
        os.utime(draft, (0, 0))
    write_file(tmp_path / "a [1].png", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a [1].png", new.name, other.name]
