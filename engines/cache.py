"""The user's own cache of built engines: content-addressed, checksummed, safe under several processes at once.

    ~/.cache/bodydouble/engines/      (XDG base directory specification; readable by its owner only)
      3f2a…/entry.json                what it was built from, the hash of every file, its parity
      3f2a…/engine.plan …             whatever its backend needs
      3f2a….lock
Engines are programs: they are only opened from this folder, and only while nobody else can write there.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from filelock import FileLock

from engines.backends import BackendName, Precision, cpu_name, graph_files, known_backend
from engines.errors import UserError
from engines.files import ABANDONED_S, NO_JSON, cache_folder, sha256, write_file

ENTRY_FORMAT = 1
ENTRY = "entry.json"
DRAFT = ".new-"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a built engine depends on."""

    graph: str
    """SHA-256 of the graph's file(s)."""
    backend: str
    versions: str
    """Of the backend's libraries, e.g. "openvino 2026.4.0"."""
    device: str
    """What it is built for: the processor's or GPU's name, or compute capabilities."""
    driver: str = ""
    precision: str
    options: str = ""
    """Whatever else changes the engine."""

    @property
    def digest(self) -> str:
        """The entry's name."""
        return hashlib.sha256(msgspec.json.encode([ENTRY_FORMAT, self], order="sorted")).hexdigest()[:32]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `entry.json` says."""

    key: Key
    name: str
    """Of the graph, for people, e.g. "alice/generator"."""
    files: dict[str, str]
    """SHA-256 of every file beside it, by name."""
    metrics: dict[str, float]
    """What was measured when it was built, e.g. "chain_db"."""


@dataclass(frozen=True, slots=True)
class Cached:
    """An entry and where its files are."""

    folder: Path
    entry: Entry
    size_bytes: int
    used_at_s: float
    """When it was last opened (seconds since the epoch)."""


def engine_key(
    graph: Path,
    backend: BackendName,
    precision: Precision,
    *,
    device: str = "",
    driver: str = "",
    options: str = "",
) -> Key:
    """The key of a graph's engine; the device is this processor unless another one is named."""
    return Key(
        graph=sha256(*graph_files(graph, precision)),
        backend=backend,
        versions=known_backend(backend).versions,
        device=device or cpu_name(),
        driver=driver,
        precision=precision,
        options=options,
    )


class Cache:
    """A folder of engines.

    Args:
        folder: None is this user's own.

    Raises:
        UserError: somebody else owns the folder or may write to it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "engines"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(self.folder)

    def get(self, key: Key) -> Cached | None:
        """The entry, which thereby counts as used; None if there is none, or it is damaged or of another key."""
        found = self._read(self.folder / key.digest, key)
        if found is not None:
            with suppress(OSError):  # what may only be read can be used as well
                os.utime(found.folder / ENTRY)
        return found

    def get_or_build(
        self, key: Key, name: str, build: Callable[[Path], Mapping[str, float]], *, wait_s: float = -1
    ) -> Cached:
        """The entry; built first if it is missing or damaged.

        Args:
            key: what it is.
            name: for people.
            build: fills an empty folder with the engine's files and returns the metrics to keep with it. Whatever it
                raises leaves no entry. Other processes that want the same entry wait for it meanwhile.
            wait_s: how long to wait for them; -1 is for ever.

        Raises:
            OSError: the folder cannot be written, or (TimeoutError) the others took too long.
        """
        with self._lock(key.digest, wait_s):
            if (found := self.get(key)) is not None:
                return found
            self._clean()
            draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.folder))
            try:
                metrics = dict(build(draft))
                files = {path.name: sha256(path) for path in sorted(draft.iterdir())}
                entry = Entry(key=key, name=name, files=files, metrics=metrics)
                (draft / ENTRY).write_bytes(msgspec.json.format(msgspec.json.encode(entry), indent=2))
                target = self.folder / key.digest
                shutil.rmtree(target, ignore_errors=True)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            built = self.get(key)
            assert built is not None, f"{target} vanished"
            return built

    def note(self, cached: Cached, metrics: Mapping[str, float]) -> Cached:
        """Add metrics to an entry."""
        entry = msgspec.structs.replace(cached.entry, metrics={**cached.entry.metrics, **metrics})
        write_file(cached.folder / ENTRY, msgspec.json.format(msgspec.json.encode(entry), indent=2))
        return replace(cached, entry=entry)

    def drop(self, cached: Cached) -> None:
        """Delete an entry."""
        with self._lock(cached.folder.name):
            shutil.rmtree(cached.folder, ignore_errors=True)

    def entries(self) -> list[Cached]:
        """Every undamaged entry, the last used first."""
        found = (self._read(path.parent) for path in self.folder.glob(f"*/{ENTRY}"))
        return sorted((each for each in found if each), key=lambda each: -each.used_at_s)

    def prune(self, limit_bytes: int) -> list[Path]:
        """Delete what is damaged, then the least recently used, until at most `limit_bytes` are left.

        Returns:
            The deleted folders.
        """
        keep: set[Path] = set()
        total = 0
        for each in self.entries():
            total += each.size_bytes
            if total <= limit_bytes:
                keep.add(each.folder)
        gone = [path for path in self.folder.iterdir() if path.is_dir() and path not in keep and not _is_in_use(path)]
        for path in gone:
            with self._lock(path.name):
                shutil.rmtree(path, ignore_errors=True)
        return gone

    def _clean(self) -> None:
        """Delete the drafts of builds that were killed."""
        for path in self.folder.glob(f"{DRAFT}*"):
            if not _is_in_use(path):
                shutil.rmtree(path, ignore_errors=True)

    def _lock(self, digest: str, wait_s: float = -1) -> FileLock:
        return FileLock(self.folder / f"{digest}.lock", timeout=wait_s, mode=0o600)

    def _read(self, folder: Path, key: Key | None = None) -> Cached | None:
        try:
            entry = msgspec.json.decode((folder / ENTRY).read_bytes(), type=Entry)
            whole = all(Path(name).name == name and sha256(folder / name) == sha for name, sha in entry.files.items())
            size_bytes = sum((folder / name).stat().st_size for name in (ENTRY, *entry.files))
            used_at_s = (folder / ENTRY).stat().st_mtime
        except (OSError, *NO_JSON):
            return None
        if not whole or entry.key.digest != folder.name or (key is not None and entry.key != key):
            return None
        return Cached(folder, entry, size_bytes, used_at_s)


def _is_in_use(folder: Path) -> bool:
    """Whether another process may be building in it."""
    return folder.name.startswith(DRAFT) and time.time() - folder.stat().st_mtime < ABANDONED_S


def _check_owner(folder: Path) -> None:
    if not hasattr(os, "getuid"):
        return  # Windows keeps other users out of the profile folder
    info = folder.stat()
    if info.st_uid != os.getuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"Others may write to {folder}, so its engines cannot be trusted: delete the folder, or chmod 700 it."
        )
