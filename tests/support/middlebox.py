"""A box on the way between a viewer and the server, that loses packets: in both directions, by a seeded dice."""

import asyncio
import random
import re
from collections.abc import Callable

Address = tuple[str, int]


class _Port(asyncio.DatagramProtocol):
    """One of the box's sockets."""

    def __init__(self, on_packet: Callable[[bytes, Address], None]) -> None:
        self._on_packet = on_packet

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._on_packet(data, addr)


class Middlebox:
    """Passes UDP packets on between one viewer and one server, except those that get lost.

    Args:
        loss: the share of media packets that are lost; those that set the connection up get through.
    """

    def __init__(self, loss: float) -> None:
        self.loss, self._chance = loss, random.Random(2)
        self._viewer: Address | None = None
        self._server: Address | None = None
        self.lost = self.passed = 0

    async def put_between(self, answer: str) -> str:
        """The answer as if the box were the server: its first candidate is the only one, at the box's address."""
        candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer)
        host, port = next((host, port) for host, port in candidates if "." in host)
        self._server = host, int(port)
        loop = asyncio.get_running_loop()
        self._to_viewer, _ = await loop.create_datagram_endpoint(lambda: _Port(self._from_viewer), local_addr=(host, 0))
        self._to_server, _ = await loop.create_datagram_endpoint(lambda: _Port(self._from_server), local_addr=(host, 0))
        own_port = self._to_viewer.get_extra_info("sockname")[1]
        lines = [
            line.replace(f" {host} {port} ", f" {host} {own_port} ")
            for line in answer.split("\r\n")
            if not line.startswith("a=candidate:") or f" {host} {port} typ host" in line
        ]
        return "\r\n".join(lines)

    def close(self) -> None:
        """Let nothing through any more."""
        for port in (self._to_viewer, self._to_server):
            port.close()

    def _from_viewer(self, data: bytes, address: Address) -> None:
        self._viewer = address
        if self._server is not None and not self._loses(data):
            self._to_server.sendto(data, self._server)

    def _from_server(self, data: bytes, _: Address) -> None:
        if self._viewer is not None and not self._loses(data):
            self._to_viewer.sendto(data, self._viewer)

    def _loses(self, data: bytes) -> bool:
        media = 128 <= data[0] < 192  # RTP and RTCP among what shares the port (RFC 7983)
        lost = media and self._chance.random() < self.loss
        self.lost += lost
        self.passed += media and not lost
        return lost
