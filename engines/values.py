"""How command lines read numbers, in words of people's (tyro's errors speak of types), and configs."""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

NAMES: dict[Any, str] = {int: "a whole number", float: "a number"}
"""What people call them."""
VALUES = ConstructorRegistry()
"""The rules; with this as a context tyro follows them."""
Inline = tyro.conf.arg(name="")
"""For a config among the arguments of a command, or in another: its options are named by its fields alone."""
SubjectName = Annotated[str, tyro.conf.arg(metavar="SUBJECT")]
"""A subject's name, or the path of its folder; as an option."""
SubjectArgument = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[SUBJECT]")]
"""The same as an argument that may be left out."""


@VALUES.primitive_rule
def _number(about: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A number alone."""
    return _spec(about.type, {}) if about.type in NAMES else None


@VALUES.primitive_rule
def _word_or_number(about: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A number, or one of some words, or nothing: `Literal["main", "left"] | int | None`."""
    kinds: tuple[Any, ...] = get_args(about.type) if get_origin(about.type) in (Union, UnionType) else ()
    numbers = [kind for kind in kinds if kind in NAMES]
    others = [kind for kind in kinds if kind not in NAMES]
    if len(numbers) != 1 or not all(kind is NoneType or get_origin(kind) is Literal for kind in others):
        return None
    nothing = {"None": None} if NoneType in others else {}
    return _spec(numbers[0], {word: word for kind in others for word in get_args(kind)} | nothing)


def _spec(number: Any, accepted: dict[str, str | None]) -> PrimitiveConstructorSpec[Any]:
    """Reads what is in `accepted`, and numbers."""
    words = [word for word in accepted.values() if word is not None]

    def parse(texts: list[str]) -> Any:
        if texts[0] in accepted:
            return accepted[texts[0]]
        try:
            return number(texts[0])
        except ValueError as error:
            wanted = f"{', '.join(words)} or {NAMES[number]}" if words else NAMES[number]
            raise ValueError(f"must be {wanted}, not {texts[0]!r}.") from error

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join([*([f"{{{','.join(words)}}}"] if words else []), number.__name__.upper()]),
        instance_from_str=parse,
        is_instance=lambda value: value in accepted.values() or isinstance(value, number | int),
        str_from_instance=lambda value: [str(value)],
    )
