"""Settings: the presets, what `--set` and `--config` change of them, and the files in which a run keeps them."""

import ast
import difflib
import inspect
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from engines.errors import UserError
from engines.files import NO_JSON, write_file
from trainer.config import Pix2PixHDConfig, TrainConfig

T = TypeVar("T")

MOST_DIFFERENCES = 3
"""That are named of two sets of settings."""

LIVE = TrainConfig()
"""A compact generator, which an ordinary CPU renders live."""

PAPER = TrainConfig(
    steps=200_000,
    coarse_steps=35_000,
    face_steps=35_000,
    batch=1,
    chains=1,
    window_px=0,
    mean_chain_frames=2,
    view_balance=0.0,
    background=False,
    references=False,
    pretrained=False,
    generator=Pix2PixHDConfig(enhancer_blocks=3),
    face=Pix2PixHDConfig(downsamplings=3, blocks=5),
    ndf=64,
    scales=3,
    learning_rate=2e-4,
    discriminator_learning_rate=2e-4,
    lr_schedule="linear",
    warmup_steps=0,
    ema_decay=0.0,
    l1_weight=0.0,
    feature_matching_weight=10.0,
    perceptual_weight=10.0,
    perceptual_px=0,
    image_weight=0.0,
    hand_weight=0.0,
    mask_weight=0.0,
    feedback_noise=0.0,
    part_dropout=0.0,
    keypoint_noise=0.0,
    motion_blur=0.0,
    zoom_out=0.0,
)
"""*Everybody Dance Now* as published, for pictures of 1024x512: the coarse generator at 512x256, then the enhancer."""

GPU = replace(
    PAPER,
    steps=60_000,
    coarse_steps=0,
    face_steps=15_000,
    batch=8,
    chains=64,
    unroll=3,
    mean_chain_frames=150,
    view_balance=0.5,
    background=True,
    generator=Pix2PixHDConfig(),
    lr_schedule="cosine",
    warmup_steps=300,
    ema_decay=0.999,
    l1_weight=10.0,
    mask_weight=1.5,
    image_weight=0.5,
    hand_weight=0.5,
    feedback_noise=0.4,
    part_dropout=0.05,
    keypoint_noise=0.004,
    motion_blur=0.05,
    zoom_out=0.05,
)
"""The paper's networks with long chains, a known background and averaged weights, for pictures of any size."""

PresetName = Literal["live", "gpu", "paper"]
PRESETS: Mapping[PresetName, TrainConfig] = {"live": LIVE, "gpu": GPU, "paper": PAPER}


class Overrides:
    """Values of settings by name, each of which one of the configs takes that are passed to `apply`.

    Settings of a network have names like generator.widths.

    Args:
        assignments: "NAME=VALUE"; a value of several parts has commas between them.
        file: a TOML file with such settings, which the assignments come after.

    Raises:
        UserError: the file is not TOML, or an assignment is not like that.
    """

    def __init__(self, assignments: Sequence[str], file: Path | None = None) -> None:
        self._values = dict(_flat(_read_toml(file))) if file else {}
        self._known: list[str] = []
        for assignment in assignments:
            name, equals, value = assignment.partition("=")
            if not equals:
                raise UserError(f"--set must be NAME=VALUE, like --set batch=4, not {assignment!r}.")
            self._values[name.strip()] = value.strip()

    def apply(self, config: T, *names: str) -> T:
        """The config with those settings that it has, or, if `names` are given, those of them.

        Raises:
            UserError: a value is of another type, or does not go with the others.
        """
        known = names or tuple(setting for setting, _ in _flat(_builtins(config)))
        self._known += known
        return _changed(config, {name: self._values.pop(name) for name in known if name in self._values})

    def check_applied(self) -> None:
        """Check that every setting was taken by a config.

        Raises:
            UserError: one was not: there is none of that name.
        """
        for name in self._values:
            near = difflib.get_close_matches(name, self._known, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(self._known)}."
            raise UserError(f"There is no setting {name!r}: {hint}")


def list_settings(*configs: object) -> str:
    """All settings of configs as TOML, with what they are."""
    lines = []
    for config in configs:
        docs = dict(_docs(config))
        for name, value in _flat(_builtins(config)):
            lines += textwrap.wrap(docs[name], 118, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"# {name} = " if value is None else f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def check_settings(path: Path, settings: object) -> None:
    """Compare settings with those that `write_settings` wrote, if it has.

    Raises:
        UserError: the folder was begun with other settings, or the file is damaged.
    """
    if not path.exists():
        return
    if not _is_json(path):
        raise UserError(f"{path} is damaged: bring it back from a copy, or use a new folder.")
    begun = read_settings(path, type(settings))
    if begun != settings:
        raise UserError(
            f"{path.parent} was begun with other settings{_difference(begun, settings)} ({path}): go on with those, or "
            "use a new folder."
        )


def _is_json(path: Path) -> bool:
    try:
        return isinstance(msgspec.json.decode(path.read_bytes()), dict)
    except NO_JSON:
        return False


def _difference(begun: object, settings: object) -> str:
    """Which settings differ, for people; "" if that is not known."""
    if begun is None:
        return ""
    was, now = dict(_flat(_builtins(begun))), dict(_flat(_builtins(settings)))
    differ = [f"{name} {was.get(name)}, not {value}" for name, value in now.items() if was.get(name) != value]
    return f", {'; '.join(differ[:MOST_DIFFERENCES])}{'; …' if len(differ) > MOST_DIFFERENCES else ''}"


def read_settings(path: Path, kind: type[T]) -> T | None:
    """What `write_settings` wrote; settings that are missing, for they are newer than the file, have their defaults.

    Returns:
        None where it is of another kind, or has settings that this program does not know.
    """
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_decode)
        written = msgspec.json.decode(path.read_bytes())
    except NO_JSON:
        return None
    return settings if written.keys() <= _builtins(settings).keys() else None


def write_settings(path: Path, settings: object) -> None:
    """Write settings as JSON."""
    write_file(path, msgspec.json.format(msgspec.json.encode(settings, enc_hook=str), indent=2) + b"\n")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # of the TOML, or of the text's encoding
        raise UserError(f"{file} is not a TOML file ({error}): see `trainer settings` for one.") from error


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values; those of a nested mapping have names like generator.widths."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _builtins(config: object) -> dict[str, Any]:
    """A config as mappings, without the tags that tell networks apart."""
    values: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str)
    return {
        name: {inner: each for inner, each in value.items() if inner != "type"} if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _changed(config: T, values: Mapping[str, Any], prefix: str = "") -> T:
    """A dataclass or struct with other values of some fields, given by flat name."""
    hints, fields, nested = get_type_hints(type(config)), dict[str, Any](), dict[str, dict[str, Any]]()
    for name, value in values.items():
        field, dot, inner = name.partition(".")
        if dot:
            nested.setdefault(field, {})[inner] = value
        else:
            fields[field] = _convert(prefix + field, value, hints[field])
    fields |= {field: _changed(getattr(config, field), inner, f"{field}.") for field, inner in nested.items()}
    changed: T = replace(config, **fields) if is_dataclass(config) else msgspec.structs.replace(config, **fields)  # type: ignore[type-var]
    return changed


def _convert(name: str, value: Any, kind: Any) -> Any:
    parts = (
        [part.strip() for part in value.split(",")] if isinstance(value, str) and get_origin(kind) is tuple else value
    )
    try:
        return msgspec.convert(parts, kind, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise UserError(f"{name} must be {_describe(kind)}, not {value!r}.") from error


def _describe(kind: Any) -> str:
    """A type in words."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(map(str, arguments))
    if get_origin(kind) is tuple and arguments[-1] is Ellipsis:
        return f"{_describe(arguments[0])}, or several with commas between"
    if get_origin(kind) is tuple:
        return f"{len(arguments)} whole numbers with commas between"
    if arguments:
        return " or ".join(_describe(each) for each in arguments if each is not NoneType)
    return {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}.get(kind, str(kind))


def _docs(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flat names and the docstrings below the fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(type(config)))).body[0].body  # type: ignore[attr-defined]
    for field, doc in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            name, value = field.target.id, getattr(config, field.target.id)
            if isinstance(value, msgspec.Struct):
                yield from _docs(value, f"{prefix}{name}.")
            elif isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
                yield prefix + name, " ".join(str(doc.value.value).split())


def _decode(kind: type[Any], value: Any) -> Any:
    """Paths, the only settings that JSON does not know.

    Raises:
        ValueError: it is empty, and would be the folder that the command runs in.
    """
    if not value:
        raise ValueError("a path is empty")
    return kind(value)
