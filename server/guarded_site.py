"""Where the web server listens: with limits to connections, to how long a request's head may take, and an answer.

aiohttp has none. Whoever opens connections and sends or reads nothing would else take every place there is.
"""

import asyncio
from collections import Counter
from ssl import SSLContext

from aiohttp import web

MOST, MOST_PER_ADDRESS = 512, 256
"""Connections at a time, and those of one address: a proxy has all of its clients'."""
HEAD_S = 10.0
"""So long a new connection has for TLS, and so long for its first request's head."""
READ_S = 10.0
"""Whoever has read nothing for so long of what was sent has gone."""


class GuardedSite(web.TCPSite):
    """Listens like `web.TCPSite`."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, tls: SSLContext | None) -> None:
        super().__init__(runner, host, port, ssl_context=tls)
        assert runner.server is not None
        self._address, self._requests = (host, port), runner.server

    async def start(self) -> None:
        """Begin to listen."""
        await web.BaseSite.start(self)
        guarded: dict[asyncio.BaseTransport, str] = {}
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Guarded(self._requests, guarded),
            *self._address,
            ssl=self._ssl_context,
            ssl_handshake_timeout=None if self._ssl_context is None else HEAD_S,
            backlog=128,
        )


class _Guarded(asyncio.Protocol):
    """Hands a connection over to aiohttp, or refuses it.

    Args:
        requests: aiohttp's server, which makes a handler for each connection.
        guarded: all connections that were handed over, and their addresses.
    """

    def __init__(self, requests: web.Server, guarded: dict[asyncio.BaseTransport, str]) -> None:
        self._requests, self._guarded = requests, guarded

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        for closed in [each for each in self._guarded if each.is_closing()]:
            del self._guarded[closed]
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if len(self._guarded) >= MOST or Counter(self._guarded.values())[address] >= MOST_PER_ADDRESS:
            transport.abort()
            return
        self._guarded[transport] = address
        handler = self._requests()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        asyncio.get_running_loop().call_later(HEAD_S, _drop_silent, handler)
        _drop_deaf(transport)


def _drop_silent(handler: web.RequestHandler) -> None:
    """Close a connection that has had no request yet; later ones are limited by the time for keeping it alive."""
    if handler.transport is not None and not handler._request_count:
        handler.transport.abort()


def _drop_deaf(transport: asyncio.Transport, left_bytes: int = 0) -> None:
    """Close a connection of whose answer the same is left as before; looks again while it is open."""
    if transport.is_closing():
        return
    waiting_bytes = transport.get_write_buffer_size()
    if waiting_bytes and waiting_bytes == left_bytes:
        transport.abort()
    else:
        asyncio.get_running_loop().call_later(READ_S, _drop_deaf, transport, waiting_bytes)
