"""Commands by Open Sound Control, for lighting desks: /bodydouble/NAME VALUE by UDP."""

import asyncio
import logging

from pythonosc.osc_packet import OscPacket, ParseError

from server.address import ListenError, check_port, why_not
from server.control import Commands, ControlRequest

PREFIX = "/bodydouble/"
LOG = logging.getLogger(__name__)


class OscListener(asyncio.DatagramProtocol):
    """Carries out the commands that arrive; nobody is answered, what was refused is logged.

    Args:
        commands: what may be asked for.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._waiting: dict[str, object] = {}
        """Values that wait for their turn: of a fader that moves fast the newest is enough."""
        self._task: asyncio.Task[None] | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Read a packet, whatever is in it; the time tags of bundles are not waited for."""
        try:
            messages = [each.message for each in OscPacket(data).messages]
        except (ParseError, ValueError, IndexError, RecursionError) as problem:
            LOG.warning("A packet that is no OSC was ignored (%s).", problem)
            return
        for message in messages:
            if message.address.startswith(PREFIX):
                self._put(message.address.removeprefix(PREFIX), next(iter(message.params), None))

    def _put(self, name: str, value: object) -> None:
        """Let a value wait. A button is pressed by any, or none; 0 is when it is let go."""
        if name not in self._commands.names:
            LOG.warning("OSC: there is no command %r.", name)
            return
        if self._commands.is_button(name):
            if value in (0, False):
                return
            value = None
        self._waiting.pop(name, None)
        self._waiting[name] = value
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._perform_all())

    async def _perform_all(self) -> None:
        while self._waiting:
            name = next(iter(self._waiting))
            await self._perform(name, self._waiting.pop(name))

    async def _perform(self, name: str, value: object) -> None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # desks send their switches as 0.0 and 1.0
        if not isinstance(value, bool | int | float | str | None):
            LOG.warning("OSC %s was given what is no number and no text.", name)
            return
        reply = await self._commands.perform(ControlRequest(command=name, value=value))
        if reply.error:
            LOG.warning("OSC %s: %s", name, reply.error)


async def listen_to_osc(commands: Commands, host: str, port: int) -> asyncio.DatagramTransport:
    """Start to listen; close what is returned to end it.

    Raises:
        ListenError: the port cannot be used.
    """
    check_port("--osc", port)
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: OscListener(commands), local_addr=(host, port)
        )
    except OSError as problem:
        raise ListenError(why_not(problem, host, port, option="--osc")) from problem
    return transport
