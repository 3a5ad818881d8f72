"""What must be right before anything is begun: the same settings as before, and a place for the subject."""

from pathlib import Path
from typing import Any

import msgspec

from engines.errors import UserError
from trainer.files import writing


def check_settings(path: Path, settings: Any) -> None:
    """Compare with what `write_settings` wrote, if it has.

    Raises:
        UserError: the folder was begun with other settings.
    """
    if path.exists() and path.read_bytes() != _text(settings):
        raise UserError(f"{path.parent} was begun with other settings ({path}): go on with those, or use a new folder.")


def write_settings(path: Path, settings: Any) -> None:
    """Write them as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        file.write(_text(settings))


def check_place(name: str, folder: Path) -> None:
    """See that a subject of this name may be put into `folder`.

    Raises:
        UserError: the name leads elsewhere, or there is something else in the way.
    """
    if Path(name).name != name:
        raise UserError(f"{name!r} cannot be a subject's name: choose one without slashes.")
    if folder.exists() and not (folder / "subject.json").exists():
        raise UserError(f"{folder} exists and is not a subject: choose another --out.")


def _text(settings: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
