"""Files that are there whole or not at all, also when the power or the disk gives out."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2

from engines.errors import UserError
from realtime.frame import Rgb

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` when the block ends, on the disk for good; an error leaves no trace."""
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_picture(path: Path, rgb: Rgb) -> None:
    """Write a picture, uint8 [H, W, 3], in the format that its name ends in."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    with writing(path) as file:
        file.write(data.tobytes())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_full_message(what: str, folder: Path) -> Iterator[None]:
    """Say it in a sentence when the disk is full.

    Raises:
        UserError: there is no room to write in `folder`.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer raises an error of its own when the file's write failed.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise UserError(
                f"There is no room for {what} in {folder} ({cause.strerror}): make some; the same command goes on."
            ) from error
        raise
