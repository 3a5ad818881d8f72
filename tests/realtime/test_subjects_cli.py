"""`realtime subjects`: list, show, remove."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from engines.errors import UserError
from realtime.subject import load_subject, subject_folders
from realtime.subjects_cli import list_subjects, remove_subject
from tests.support.commands import assert_refused, command


def add(folder: Path, name: str, *, files: list[str], **training: object) -> None:
    """Write a manifest and empty files, which is what a list looks at."""
    manifest = json.loads((load_subject("alice").folder / "subject.json").read_bytes())
    manifest["training"] |= training
    manifest["files"] = dict.fromkeys(files, "00")
    (folder / name).mkdir(parents=True)
    (folder / name / "subject.json").write_text(json.dumps(manifest))
    (folder / name / "generator.onnx").write_bytes(bytes(1_300_000))
    for file in ("plate.png", *files):
        (folder / name / file).touch()


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own subjects: berta, who was never measured, and carla, who was."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "bodydouble" / "subjects"
    add(folder, "berta", files=["atlas.npz"], metrics=None, face_steps=0)
    metrics = {"body": {"lpips_like": 0.0471}, "face": {"lpips_like": 0.0405}, "flicker": 2.2}
    add(folder, "carla", files=["generator.int8.xml"], metrics=metrics, face_steps=9)
    (folder / ".berta.old").mkdir()
    (folder / ".berta.old" / "subject.json").write_text("{}")
    return folder


def listed(width: int = 80) -> list[str]:
    text = io.StringIO()
    list_subjects(Console(file=text, width=width))
    return text.getvalue().splitlines()


def row_of(name: str) -> list[str]:
    (row,) = (line for line in listed() if line.strip().startswith(f"{name} "))
    return row.split()


def test_the_list_fits_eighty_columns_and_says_where_each_is(mine: Path) -> None:
    lines = listed()
    assert max(len(line) for line in lines if not line.startswith("/")) <= 80
    assert str(mine) in lines
    assert str(load_subject("alice").folder.parent) in lines
    assert row_of("alice")
    assert row_of("berta")[2:] == ["references", "not", "measured", "CC0-1.0", "1.3"]
    assert row_of("carla")[2:] == ["face,", "int8", ".047", "/", ".041", "CC0-1.0", "1.3"]
    assert not any(".old" in line for line in lines), "what an export left behind is no subject"


def test_a_damaged_manifest_does_not_hide_the_others(mine: Path) -> None:
    (mine / "berta" / "subject.json").write_text("{")
    assert row_of("alice")
    assert row_of("berta")[1] == "damaged"
    assert "What is damaged: realtime subjects show berta" in listed()
    (mine / "carla" / "generator.int8.xml").unlink()
    assert row_of("carla")[1] == "damaged"
    refused = command("realtime", "subjects", "show", "berta")
    assert_refused(refused, "berta/subject.json", "is not a subject's manifest")


def test_show(mine: Path) -> None:
    done = command("realtime", "subjects", "show", "alice")
    assert done.returncode == 0, done.stderr
    facts = {line.split()[0]: line[12:] for line in done.stdout.splitlines()}
    assert Path(facts["thumbnail"]).is_file()
    assert facts["folder"].startswith(str(load_subject("alice").folder))
    assert facts["person"] == "fictional person, CC0-1.0"
    assert "alice_long.mp4, 512x512 px, " in facts["footage"]
    assert "lpips_like 0.0" in facts["body"]
    assert "flicker " in facts["measured"]
    assert_refused(command("realtime", "subjects", "show", "nobody"), "no subject 'nobody'", "alice", "berta")


def test_remove_asks_first(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    remove_subject("berta", sure=False)
    assert "berta stays." in capsys.readouterr().out
    assert (mine / "berta").is_dir()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UserError, match="add --yes"):
        remove_subject("berta", sure=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    remove_subject("berta", sure=False)
    assert not (mine / "berta").exists()
    assert "berta" not in subject_folders()


def test_only_ones_own_subjects_are_removed(mine: Path) -> None:
    with pytest.raises(UserError, match=r"alice comes with bodydouble.* stays"):
        remove_subject("alice", sure=True)
    for name in ("nobody", "../berta", ".", ""):
        with pytest.raises(UserError, match=f"no subject '{name}'"):
            remove_subject(name, sure=True)
    assert (mine / "berta").is_dir()
    done = command("realtime", "subjects", "remove", "berta", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{mine / 'berta'} is deleted.\n"
    assert not (mine / "berta").exists()


def test_a_link_to_a_subject_goes_and_the_subject_stays(mine: Path, tmp_path: Path) -> None:
    (mine / "berta").rename(tmp_path / "elsewhere")
    (mine / "linked").symlink_to(tmp_path / "elsewhere")
    remove_subject("linked", sure=True)
    assert not (mine / "linked").is_symlink()
    assert (tmp_path / "elsewhere" / "subject.json").is_file()


def test_ones_own_alice_comes_first_and_is_removed_first(mine: Path) -> None:
    (mine / "berta").rename(mine / "alice")
    remove_subject("alice", sure=True)
    assert subject_folders()["alice"] == load_subject("alice").folder
