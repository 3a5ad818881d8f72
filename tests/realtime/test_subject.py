"""Subject folders: what is refused, and how."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.errors import UserError
from realtime.subject import load_subject, subject_folders

Change = Callable[[dict[str, object]], None]


@pytest.fixture
def subject(toy_subject: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_subject, tmp_path / "toy"))


def edit(subject: Path, change: Change) -> None:
    file = subject / "subject.json"
    manifest = json.loads(file.read_bytes())
    change(manifest)
    file.write_text(json.dumps(manifest))


def test_loads_by_path_and_by_name(subject: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_subject(str(subject)).plate.shape == (64, 64, 3)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "bodydouble" / "subjects").mkdir(parents=True)
    subject.rename(tmp_path / "bodydouble" / "subjects" / "toy")
    assert load_subject("toy").manifest.name == "toy"
    assert "toy" in subject_folders()


def test_an_unknown_subject_is_told_which_exist() -> None:
    with pytest.raises(UserError, match=r"no subject 'bert'.*alice"):
        load_subject("bert")


@pytest.mark.parametrize("file", ["generator.onnx", "face.onnx", "plate.png", "thumbnail.jpg"])
def test_a_damaged_file_is_named(subject: Path, file: str) -> None:
    data = bytearray((subject / file).read_bytes())
    data[len(data) // 2] ^= 1
    (subject / file).write_bytes(data)
    with pytest.raises(UserError, match=f"{file} is damaged"):
        load_subject(str(subject))


def test_a_missing_file_is_named(subject: Path) -> None:
    (subject / "face.onnx").unlink()
    with pytest.raises(UserError, match=r"lacks face\.onnx"):
        load_subject(str(subject))


def set_to(*path: str, value: object) -> Change:
    def change(manifest: dict[str, object]) -> None:
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]  # type: ignore[assignment]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_to("format", value=99), "format 99"),
        (set_to("format", value=2), "format 2, this program reads 3"),
        (set_to("surprise", value=1), "surprise"),
        (set_to("width_px", value="big"), "width_px"),
        (set_to("height_px", value=96), "plate"),
        (set_to("skeleton_version", value=99), "skeleton version 99"),
        (set_to("figure_style", value="crayon"), "no figure style 'crayon'.*limbs and edn"),
        (set_to("figure_version", value=99), "style limbs are wanted in version 99, this program draws version 1"),
        (set_to("training", "crop", value=[1, 0, 512, 512]), r"crop \(1, 0, 512, 512\) is not inside .* 512x512"),
        (set_to("motion", "far_stature", value=0), r"far_stature"),
        (set_to("motion", "far_stature", value=1e300), r"far_stature"),
        (set_to("motion", "near_stature", value=0), r"near_stature"),
        (set_to("motion", "near_stature", value=0.2), r"motion: .* smaller"),
        (set_to("motion", "near_ankle", value=-99999), r"motion: who is near"),
        (set_to("motion", "near_ankle", value=-1e308), r"near_ankle"),
        (set_to("motion", "reach", value=-1), r"reach"),
        (set_to("motion", "reach", value=0), r"reach"),
        (set_to("proportions", "torso", value=0), r"torso"),
        (set_to("proportions", "torso", value=1e300), r"torso"),
        (set_to("files", "../../etc/passwd", value="00"), "not a plain file name"),
        (set_to("files", value={}), r"does not know .*, so it cannot be trusted"),
    ],
)
def test_a_strange_manifest_is_refused(subject: Path, change: Change, words: str) -> None:
    edit(subject, change)
    with pytest.raises(UserError, match=words):
        load_subject(str(subject))


def test_a_subject_of_the_papers_figures(subject: Path) -> None:
    assert (load_subject(str(subject)).style.name, load_subject(str(subject)).style.blank) == ("limbs", 0)
    edit(subject, set_to("figure_style", value="edn"))
    assert (load_subject(str(subject)).style.name, load_subject(str(subject)).style.blank) == ("edn", 255)


def test_a_manifest_that_is_not_json(subject: Path) -> None:
    (subject / "subject.json").write_text("{")
    with pytest.raises(UserError, match="not a subject's manifest"):
        load_subject(str(subject))
