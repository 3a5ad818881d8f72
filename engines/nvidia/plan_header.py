"""The header of TensorRT-RTX's plans: what a plan is for, read without the package, a driver or a GPU.

The layout is documented nowhere; it is what release 1.7 writes, and the tests hold it to plans that are really built.

    0 "vtrt" | 8 format u64 | 16 bytes of all u64 | 24 major, minor, patch, build u8 | 28 "vtrt" | 32 targets u32
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from engines.errors import UserError

TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
"""Compute capabilities by the bit that they have in a plan."""


def check_targets(targets: Sequence[str]) -> tuple[str, ...]:
    """The targets, in the order of `TARGETS`.

    Raises:
        UserError: there are none, or one is unknown.
    """
    unknown = [target for target in targets if target not in TARGETS]
    if unknown or not targets:
        raise UserError(f"TensorRT-RTX builds for {', '.join(TARGETS)}, not for {', '.join(unknown) or 'nothing'}.")
    return tuple(target for target in TARGETS if target in targets)


_HEADER = struct.Struct("<4s4xQQ4B4sI")
_MAGIC = b"vtrt"


class PlanHeader(NamedTuple):
    """What a plan says of itself."""

    version: str
    """Of the TensorRT-RTX that built it, and the only one that can run it: "1.7.1.116"."""
    targets: tuple[str, ...]
    """GPU generations that it runs on, of `TARGETS`."""
    length_bytes: int


def read_header(plan: bytes) -> PlanHeader:
    """Read and check the header of a whole plan.

    Raises:
        UserError: no plan, or only a part of one.
    """
    if len(plan) < _HEADER.size:
        raise UserError(f"The TensorRT-RTX plan has only {len(plan)} bytes: build it again.")
    magic, _, length, *version, again, bits = _HEADER.unpack_from(plan)
    if magic != _MAGIC or again != _MAGIC:
        raise UserError("That is no TensorRT-RTX plan: build it again.")
    if length != len(plan):
        raise UserError(f"The TensorRT-RTX plan has {len(plan)} bytes instead of {length}: build it again.")
    targets = tuple(target for bit, target in enumerate(TARGETS) if bits >> bit & 1)
    return PlanHeader(".".join(map(str, version)), targets, length)
