"""Checkpoints: a stage's whole state in one file, written atomically, read without running anything in it."""

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from engines.errors import UserError
from trainer.files import sync_folder, writing

log = logging.getLogger(__name__)

State = dict[str, Any]


class Checkpoints:
    """The checkpoints of one stage, <folder>/<stage>_<step>.pt, of which the last few are kept, and <stage>_best.pt.

    Args:
        folder: where they are; it is made when the first one is written.
        stage: the stage's name.
        keep: how many to keep beside the best one; at least 1.
    """

    def __init__(self, folder: Path, stage: str, keep: int = 3) -> None:
        self._folder, self._stage, self._keep = folder, stage, keep

    @property
    def best(self) -> Path:
        """Where the best one is."""
        return self._folder / f"{self._stage}_best.pt"

    @property
    def exist(self) -> bool:
        """Whether there is any, be it damaged."""
        return bool(self._paths())

    def save(self, step: int, state: State, *, best: bool = False) -> None:
        """Write `state`, then let go of the oldest; `best` marks it as the best so far."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._stage}_{step:08d}.pt"
        with writing(path) as file:
            torch.save(state, file)
        if best:
            # A second name of the same file: it costs no room, and replaces the last one in a single move.
            draft = self.best.with_name(f"{self.best.name}.new")
            draft.unlink(missing_ok=True)
            os.link(path, draft)
            draft.replace(self.best)
            sync_folder(self._folder)
        for old in self._paths()[self._keep :]:
            old.unlink()

    def load_best(self) -> State:
        """The state in which the stage did best on held-out footage.

        Raises:
            UserError: it is missing or damaged.
        """
        return load_checkpoint(self.best)

    def reached(self, steps: int) -> bool:
        """Whether the stage has been trained for so many steps."""
        newest = self.newest()
        return newest is not None and bool(newest["step"] >= steps)

    def newest(self, *, skip: int = 0) -> State | None:
        """The state of the newest whole checkpoint; None if there has never been one.

        Args:
            skip: pass over so many whole ones, as long as an older one is left.

        Raises:
            UserError: all are damaged.
        """
        found: State | None = None
        paths = self._paths()
        for path in paths:
            try:
                found = load_checkpoint(path)
            except UserError as error:
                log.warning("%s It is passed over.", error)
                continue
            if skip == 0:
                return found
            skip -= 1
        if paths and found is None:
            raise UserError(f"All of {self._folder / self._stage}_*.pt are damaged: delete them and train again.")
        return found

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, and what was half-written when somebody pulled the plug."""
        later = [path for path in self._paths() if _step(path) > step]
        for path in (*later, *self._folder.glob(f"{self._stage}_*.pt.new")):
            path.unlink()

    def _paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self._folder.glob(f"{self._stage}_{'[0-9]' * 8}.pt"), key=_step, reverse=True)


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no checkpoint {path}: run `trainer train` first.") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"The checkpoint {path} is damaged.") from error
    return state


def _step(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])
