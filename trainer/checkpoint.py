"""Checkpoints: a stage's whole state in one file, written atomically, read without running anything in it."""

from pathlib import Path
from typing import Any

import torch

from engines.errors import UserError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` under `path`, whole or not at all."""
    draft = path.with_suffix(".new")
    torch.save(state, draft)
    draft.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no checkpoint {path}: run `trainer train` first.") from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(f"The checkpoint {path} is damaged: delete it and train again.") from error
    return state
