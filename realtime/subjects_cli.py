"""`realtime subjects`: which subjects there are, what one of them is, and how to be rid of one."""

import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from tyro.conf import Positional

from engines.backends import int8_graph
from engines.errors import UserError
from engines.values import Inline
from realtime.references.atlas import ATLAS
from realtime.subject import (
    MANIFEST,
    THUMBNAIL,
    Manifest,
    MetricValue,
    Subject,
    is_whole,
    load_subject,
    read_manifest,
    subject_folders,
    user_subjects,
)


@dataclass(frozen=True, kw_only=True)
class SubjectsList:
    """List the subjects that can be played by their names."""


@dataclass(frozen=True, kw_only=True)
class SubjectsShow:
    """Check a subject, and tell what it is and how it came to be."""

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Which: its name, or the path of its folder."""


@dataclass(frozen=True, kw_only=True)
class SubjectsRemove:
    """Delete one of your own subjects from the disk."""

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name."""
    yes: bool = False
    """Do not ask."""


def subjects(
    action: Annotated[
        Annotated[SubjectsList, tyro.conf.subcommand("list")]
        | Annotated[SubjectsShow, tyro.conf.subcommand("show")]
        | Annotated[SubjectsRemove, tyro.conf.subcommand("remove")],
        Inline,
    ] = SubjectsList(),
) -> None:
    """List the subjects that can be played; subjects show NAME, subjects remove NAME."""
    if isinstance(action, SubjectsShow):
        for what, text in _facts(load_subject(action.name)):
            print(f"{what:12}{text}")
    elif isinstance(action, SubjectsRemove):
        remove_subject(action.name, sure=action.yes)
    else:
        list_subjects(Console())


def list_subjects(console: Console) -> None:
    """Print what there is, folder by folder; nothing but the manifests is read."""
    for folder, group in groupby(subject_folders().values(), lambda path: path.parent):
        paths = [*group]
        damaged = [path for path in paths if not is_whole(path)]
        console.print(str(folder), soft_wrap=True, markup=False, highlight=False)
        table = Table("subject", "px", "has", "LPIPS-like", "licence", "MB", box=SIMPLE_HEAD)
        for path in paths:
            cells = ("", "damaged", "", "") if path in damaged else _cells(path)
            table.add_row(path.name, *cells, f"{_size_bytes(path) / 1e6:.1f}")
        console.print(table)
        for path in damaged:
            console.print(f"What is damaged: realtime subjects show {shlex.quote(path.name)}", soft_wrap=True)
    console.print("LPIPS-like: distance of body / face from footage of the person, 0 is equal.")


def remove_subject(name: str, *, sure: bool) -> None:
    """Delete one of the user's own subjects; asks unless `sure`.

    Raises:
        UserError: there is none of that name, or it comes with the package, or nobody answered.
    """
    folder = user_subjects() / name
    known = subject_folders()
    if name not in known:
        raise UserError(f"There is no subject {name!r}: `realtime subjects` lists them.")
    if known[name] != folder:
        raise UserError(f"{name} comes with bodydouble, in {known[name].parent}, and stays: remove one of your own.")
    try:
        question = f"Delete {folder} ({_size_bytes(folder) / 1e6:.1f} MB)?"
        if not (sure or Confirm.ask(question, default=False)):
            print(f"{name} stays.")
            return
    except EOFError as error:
        raise UserError(f"Nobody answered whether to delete {name}: add --yes.") from error
    if folder.is_symlink():
        folder.unlink()
    else:
        (folder / MANIFEST).unlink()  # first: whatever happens then, no half of it can be played
        shutil.rmtree(folder)
    print(f"{folder} is deleted.")


def _cells(folder: Path) -> tuple[str, ...]:
    manifest = read_manifest(folder / MANIFEST)
    metrics = manifest.training.metrics or {}
    lpips = [_part(metrics, crop).get("lpips_like") for crop in ("body", "face")]
    measured = " / ".join("-" if each is None else f"{each:.3f}".lstrip("0") for each in lpips)
    return (
        f"{manifest.width_px}x{manifest.height_px}",
        ", ".join(_parts(manifest)) or "-",
        measured if any(lpips) else "not measured",
        manifest.consent.licence,
    )


def _part(metrics: dict[str, MetricValue], crop: str) -> dict[str, float]:
    found = metrics.get(crop)
    return found if isinstance(found, dict) else {}


def _parts(manifest: Manifest) -> Iterator[str]:
    """What a subject has beyond a generator."""
    if manifest.training.face_steps:
        yield "face"
    if ATLAS in manifest.files:
        yield "references"
    if int8_graph(Path("generator.onnx")).name in manifest.files:
        yield "int8"


def _facts(subject: Subject) -> Iterator[tuple[str, str]]:
    """What people want to know of a subject, line by line."""
    folder, manifest, training = subject.folder, subject.manifest, subject.manifest.training
    yield "name", f"{manifest.name}, {manifest.width_px}x{manifest.height_px} px"
    yield "folder", f"{folder} ({_size_bytes(folder) / 1e6:.1f} MB)"
    if (folder / THUMBNAIL).is_file():
        yield "thumbnail", str(folder / THUMBNAIL)
    yield "person", f"{manifest.consent.person}, {manifest.consent.licence}"
    yield "has", ", ".join(_parts(manifest)) or "a generator"
    if subject.atlas is not None:
        shown = {part: len(rows) for part, rows in subject.atlas.references.items() if rows}
        yield "references", f"{sum(shown.values())} pictures of {len(shown)} parts"
    yield "figure", f"{manifest.figure_style}, version {manifest.figure_version}"
    size = f", {training.footage_px[0]}x{training.footage_px[1]} px" if training.footage_px else ""
    yield "footage", f"{training.video or 'unknown'}{size}, {training.footage_s:g} s trained on"
    yield "networks", f"{training.generator or 'unknown'}; {training.steps} steps, face {training.face_steps}"
    if training.hours is not None:
        yield "trained", f"{training.hours:g} h on {training.machine or 'an unknown machine'}"
    yield "held out", "{:.1f} dB at first, {:.1f} dB at last".format(*training.chain_psnr_db)
    metrics = training.metrics or {}
    for crop in [name for name, value in metrics.items() if isinstance(value, dict)]:
        yield crop, _listed(_part(metrics, crop))
    if metrics:
        yield "measured", _listed({name: value for name, value in metrics.items() if not isinstance(value, dict)})


def _listed(metrics: Mapping[str, MetricValue]) -> str:
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in metrics.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
