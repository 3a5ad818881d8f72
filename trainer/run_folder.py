"""A run's folder is written by one command at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from engines.errors import UserError
from engines.files import check_writable
from trainer.config import first_process

LOCK = ".lock"


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Keep every other command out of a run's folder until the block ends; the folder is made if need be.

    The processes of one training share the folder: the first one keeps it for all.

    Raises:
        UserError: another command is at work there, or nothing can be written.
    """
    check_writable(run)
    if not first_process():
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"Another command is at work in {run}: wait for it, stop it, or use another folder.") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (run / LOCK).unlink()
            run.rmdir()  # if the command was refused before it wrote anything
        lock.release()
