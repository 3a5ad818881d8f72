"""docs/api.md runs, and docs/subject-format.md is whole."""

import doctest
import re
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.backends import int8_graph
from realtime.pose.normalization.motion_range import MotionRange
from realtime.pose.normalization.proportions import Proportions
from realtime.references.atlas import ATLAS
from realtime.subject import FACE, FORMAT, GENERATOR, MANIFEST, PLATE, Consent, Manifest, Training, load_subject
from realtime.subject_clips import FILE, save_clips
from realtime.video import read_video
from tests.support.commands import DATA
from tests.support.footage_files import write_film
from tests.support.references import dancer, toy_atlas
from tests.support.standing_pose import standing

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = dict(re.findall(r"(?ms)^##+ (.+?)$(.*?)(?=^##|\Z)", (DOCS / "subject-format.md").read_text()))


def test_the_calls_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = [rgb for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), 120, 124)]
    write_film(tmp_path / "dance.mp4", bob, 1 / 30)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(?ms)^```pycon\n(.*?)^```$", (DOCS / "api.md").read_text())
    assert len(blocks) == 5
    lines = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "api.md", str(DOCS / "api.md"), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(lines, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted > 20
    assert (tmp_path / "alice_dance.mp4").is_file()


def rows(section: str) -> list[str]:
    """The names in the first column of a section's table."""
    return [
        name
        for cell in re.findall(r"(?m)^\| (`[^|]+`) \|", SECTIONS[section])
        for name in re.findall(r"`([^`]+)`", cell)
    ]


@pytest.mark.parametrize(
    ("section", "struct"),
    [
        ("subject.json", Manifest),
        ("motion", MotionRange),
        ("proportions", Proportions),
        ("consent", Consent),
        ("training", Training),
    ],
)
def test_every_field_of_the_manifest_is_named(section: str, struct: type[msgspec.Struct]) -> None:
    assert rows(section) == list(struct.__struct_fields__)


def test_which_fields_of_a_training_are_needed() -> None:
    needed = re.findall(r"(?m)^\| `(\w+)` \| [^|]*needed \|", SECTIONS["training"])
    assert needed == [field.name for field in msgspec.structs.fields(Training) if field.required]


def test_every_file_is_named() -> None:
    int8 = [int8_graph(Path(name)) for name in (GENERATOR, FACE)]
    known = {GENERATOR, FACE, PLATE, MANIFEST, ATLAS, FILE, "thumbnail.jpg"}
    known |= {path.with_suffix(end).name for path in int8 for end in (".xml", ".bin")}
    assert known == set(rows("Files"))
    assert set(load_subject("alice").manifest.files) <= set(rows("Files"))
    assert f"format {FORMAT}" in (DOCS / "subject-format.md").read_text().splitlines()[0]


def test_every_array_of_clips_and_atlas_is_named(tmp_path: Path) -> None:
    save_clips(tmp_path, [standing()])
    toy_atlas([(3, dancer())]).save(tmp_path / ATLAS)
    for section, file in (("Clips", FILE), ("Atlas", ATLAS)):
        with np.load(tmp_path / file) as arrays:
            assert rows(section) == list(arrays), section
