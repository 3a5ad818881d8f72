"""Files: written whole or not at all, named by their SHA-256, and where this user's own are."""

import errno
import glob
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import msgspec

from engines.errors import UserError

ABANDONED_S = 24 * 3600.0
"""Drafts that nobody has written to for so long are of processes that were killed."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system says where nothing more can be written."""
NO_JSON = msgspec.DecodeError, UnicodeDecodeError
"""What `msgspec.json.decode` raises for what is no JSON of the wanted form."""
NO_NPZ = (
    *(OSError, EOFError, BadZipFile, zlib.error, NotImplementedError),
    *(ValueError, TypeError, LookupError, AssertionError),
)
"""What reading an .npz raises where the file is damaged, or holds other arrays than the wanted ones."""


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes `path`'s place when the block ends, or is deleted when the block raises.

    Whoever opens `path` meanwhile, in any process, finds the old content or the new one, and so does whoever opens it
    after a power failure. Missing folders are made. A library that wants a path may write to the file's `name`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    delete_abandoned(path)
    draft = draft_of(path)
    try:
        with errors_named(path, draft):
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # before the new name: a rename may reach the disk before the content does
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file with `replace_file`."""
    with replace_file(path) as file:
        file.write(content)


def draft_of(path: Path) -> Path:
    """Where this process writes what will be `path`: "alice.png" is "alice.png.1234.new" until it is whole."""
    return path.with_name(f"{path.name}.{os.getpid()}.new")


@contextmanager
def errors_named(path: Path, draft: Path) -> Iterator[None]:
    """Let the system's errors about `draft`, or a file in it, be about `path`, which is what somebody has asked for."""
    try:
        yield
    except OSError as error:
        if error.filename is None or draft not in (named := Path(os.fsdecode(error.filename)), *named.parents):
            raise
        raise OSError(error.errno, error.strerror, str(path / named.relative_to(draft))) from error


def delete_abandoned(path: Path) -> None:
    """Delete the drafts of processes that were killed while they wrote this file or folder."""
    for draft in path.parent.glob(f"{glob.escape(path.name)}.*.new"):
        with suppress(OSError):  # others may delete it, too
            if time.time() - draft.lstat().st_mtime > ABANDONED_S:
                (shutil.rmtree if draft.is_dir() else Path.unlink)(draft)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; Windows, which cannot open folders, does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_full_message(what: str, folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into a sentence.

    Raises:
        UserError: no space is left to write `what` in `folder`.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer raises an error of its own when the file's write failed.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise UserError(
                f"There is no space for {what} in {folder} ({cause.strerror}): make some; the same command goes on."
            ) from error
        raise


def legible(name: str) -> str:
    """A file's name as text: bytes of it that are no UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace")


def check_writable(path: Path) -> None:
    """Tell of a place where nothing can be written before anything that takes long; missing folders count as made.

    Raises:
        UserError: no file can be written in the folder `path`, or in the one that it would be in.
    """
    folder = path if path.is_dir() else next(each for each in path.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another name or allow it.") from error


def check_free(path: Path, *, replace: bool) -> None:
    """Tell of what would be overwritten before anything that takes long.

    Raises:
        UserError: something is at `path` already, and `replace` does not allow to overwrite it.
    """
    if path.exists() and not replace:
        raise UserError(f"{path} is there already: give another --out, or --replace to make it anew.")


def check_there(*paths: Path) -> None:
    """Tell of what is missing before anything that takes long.

    Raises:
        UserError: one of the files or folders does not exist.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no {path}: check the path.")


def sha256(*paths: Path) -> str:
    """The SHA-256 of the files' contents, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)  # adds to it
    return digest.hexdigest()


def data_folder() -> Path:
    """Where this user's subjects and profiles are (XDG base directory specification); may not exist."""
    return _user_folder("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Where this user's built engines are (XDG base directory specification); may not exist."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def _user_folder(variable: str, default: str) -> Path:
    if told := os.environ.get(variable):
        return Path(told) / "bodydouble"
    try:
        return Path.home() / default / "bodydouble"
    except RuntimeError:  # neither HOME nor an entry in passwd, as in some containers
        return Path(tempfile.gettempdir()) / f"bodydouble-{getattr(os, 'getuid', os.getpid)()}" / default
