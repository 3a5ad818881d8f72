"""The `mediapipe` library's Holistic at work in another process, to be compared with."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.frame import Rgb

_WORKER = Path(__file__).parent / "holistic_worker.py"
_QUIET = {"GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "2"}
Floats = NDArray[np.float64]


class Library:
    """The library at work in another process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def time(self, chunk: Sequence[Rgb]) -> list[Floats]:
        """Wall and processor seconds for each picture."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode([len(chunk), *chunk[0].shape[:2]]) + b"\n")
        for rgb in chunk:
            self._process.stdin.write(np.ascontiguousarray(rgb).data)
        self._process.stdin.flush()
        return list(np.array(msgspec.json.decode(self._process.stdout.readline())).T)


@contextmanager
def library(python: Path | None) -> Iterator[Library | None]:
    """Start the library by an environment's Python; None: do without.

    Raises:
        UserError: it does not run there.
    """
    if python is None:
        yield None
        return
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user says which Python
                [python, _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=os.environ | _QUIET
            )
        except OSError as error:
            raise UserError(f"{python} cannot be run ({error.strerror}): give the path of a Python.") from error
        with process:
            assert process.stdout is not None
            if not process.stdout.readline():
                log.seek(0)
                reason = (log.read().decode(errors="replace").strip().splitlines() or ["it ended at once"])[-1]
                raise UserError(f"mediapipe does not run in {python} ({reason}): pip install mediapipe==0.10.21 there.")
            yield Library(process)
            assert process.stdin is not None
            process.stdin.close()
