"""The losses of every step as lines of JSON, as true after a crash as without one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from engines.files import replace_file


class Journal:
    """Appends to a file of rows {"step": n, ...}; rows after `step`, which are about to be done again, are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        rows = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        with replace_file(path) as file:
            file.writelines(row for row in rows if _step(row) <= step)
        self._file: TextIO = path.open("a")

    def write(self, step: int, values: Mapping[str, object]) -> None:
        """Append a row. Floats keep all their digits: two runs can be compared to the bit."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _step(row: bytes) -> float:
    """The row's step; infinite if the row was torn off."""
    try:
        return float(json.loads(row)["step"]) if row.endswith(b"\n") else float("inf")
    except json.JSONDecodeError:
        return float("inf")
