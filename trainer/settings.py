"""What must be right before anything is begun: the same settings as before, and a place for the subject."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engines.errors import UserError
from trainer.files import writing

T = TypeVar("T")


def check_settings(path: Path, settings: object) -> None:
    """Compare with what `write_settings` wrote, if it has.

    Raises:
        UserError: the folder was begun with other settings.
    """
    if path.exists() and read_settings(path, type(settings)) != settings:
        raise UserError(f"{path.parent} was begun with other settings ({path}): go on with those, or use a new folder.")


def read_settings(path: Path, kind: type[T]) -> T | None:
    """What `write_settings` wrote; settings that there were none of then are as they are by default.

    Returns:
        None where it is of another kind, or says more than this program knows.
    """
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_decode)
        written = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError:
        return None
    known = msgspec.to_builtins(settings, enc_hook=str)
    return settings if written.keys() <= known.keys() else None


def write_settings(path: Path, settings: object) -> None:
    """Write them as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(settings, enc_hook=str), indent=2) + b"\n")


def _decode(kind: type[Any], value: Any) -> Any:
    """Paths, the only settings that JSON does not know."""
    return kind(value)
