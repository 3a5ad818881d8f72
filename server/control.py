"""What clients may ask for: one small JSON protocol over HTTP and data channels, described in docs/control.md."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

LOG = logging.getLogger(__name__)
WAITING = 8
"""Most commands that wait for their turn, from all clients together."""
Value = bool | int | float | str | None
"""What a command may be given."""
WORDS = {"boolean": "true or false", "string": "text", "integer": "a number", "number": "a number", "null": "nothing"}
"""For types of JSON Schema."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something that clients may ask for."""

    meaning: str
    """One sentence for people."""
    takes: Any
    """The type of its value; None's for a command without one."""
    call: Callable[[Any], object]
    """Does it, in a thread, and returns what JSON can hold; a ValueError's message is the sentence for the client."""


class ControlRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a client sends."""

    command: str
    value: Value = None
    id: int | str | None = None
    """Comes back in the reply."""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client hears."""

    status: int
    """As in HTTP: 200 done, 400 not understood, 403 not allowed, 404 no such command, 422 refused, 500 failed, 503 too
    many."""
    id: int | str | None = None
    result: Any = None
    error: str | None = None
    """One sentence that says why nothing was done."""


class Commands:
    """Carries commands out, one at a time, in their order. Lives on the event loop.

    Args:
        commands: by name.
    """

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def names(self) -> list[str]:
        """The commands that there are."""
        return list(self._commands)

    def described(self) -> dict[str, dict[str, object]]:
        """Each command's meaning, and what it takes, as JSON Schema."""
        return {
            name: {"meaning": each.meaning, "takes": msgspec.json.schema(each.takes)}
            for name, each in self._commands.items()
        }

    def is_button(self, name: str) -> bool:
        """Whether it is a command that takes no value."""
        return name in self._commands and self._commands[name].takes is None

    async def answer(self, message: str | bytes, *, allowed: bool) -> ControlReply:
        """Do what a JSON message asks for; `allowed` says whether its sender may give commands."""
        try:
            request = msgspec.json.decode(message, type=ControlRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            return ControlReply(status=400, error=f"This is no command ({problem}).")
        if not allowed:
            return ControlReply(status=403, id=request.id, error="This token is for watching only.")
        return await self.perform(request)

    async def perform(self, request: ControlRequest) -> ControlReply:
        """Do what a client asks for that may."""
        command = self._commands.get(request.command)
        if command is None:
            known = ", ".join(self._commands) or "(none)"
            error = f"There is no command {request.command!r}: choose one of {known}."
            return ControlReply(status=404, id=request.id, error=error)
        try:
            value = msgspec.convert(request.value, command.takes, strict=False)
        except msgspec.ValidationError:
            given = "nothing" if request.value is None else repr(request.value)
            wanted = in_words(msgspec.json.schema(command.takes))
            return ControlReply(
                status=422, id=request.id, error=f"{request.command} takes {wanted}, and was given {given}."
            )
        if self._waiting >= WAITING:
            return ControlReply(status=503, id=request.id, error="Too many commands at a time.")
        self._waiting += 1
        try:
            async with self._turn:
                return await _perform(request, command, value)
        finally:
            self._waiting -= 1


def in_words(takes: Mapping[str, Any]) -> str:
    """What a command takes, from its JSON Schema, for people: "true or false", "start or stop", "text or nothing"."""
    if "enum" in takes:
        return " or ".join(map(str, takes["enum"]))
    return " or ".join(WORDS[each["type"]] for each in takes.get("anyOf", [takes]))


async def _perform(request: ControlRequest, command: Command, value: Value) -> ControlReply:
    try:
        result = await asyncio.to_thread(command.call, value)
    except ValueError as problem:
        return ControlReply(status=422, id=request.id, error=str(problem))
    except Exception:
        LOG.exception("The command %s has failed.", request.command)
        return ControlReply(status=500, id=request.id, error="The command has failed; the log says why.")
    return ControlReply(status=200, id=request.id, result=result)
