"""What docs/architecture.md names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:engines|realtime|server|trainer|tests)/[\w/.]+)`", TEXT)))
OWNERS = re.findall(r"`([A-Z]\w+)` \|$", TEXT, re.M)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_it_names_most_files() -> None:
    assert len(PATHS) > 50


def test_every_owner_of_state_is_a_class_of_a_file_in_its_row() -> None:
    rows = [row for row in TEXT.splitlines() if re.search(r"`[A-Z]\w+` \|$", row)]
    assert len(rows) == len(OWNERS) > 5
    for row, owner in zip(rows, OWNERS, strict=True):
        files = [ROOT / path for path in re.findall(r"`([\w/]+\.py)`", row)]
        assert any(f"class {owner}" in file.read_text() for file in files), row
