"""The WHEP endpoint (draft-ietf-wish-whep): a viewer posts an offer, gets the answer, and deletes its session."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from server.control import Control
from server.offer import OfferError, admit
from server.peer import Peer
from server.stream import SharedStream

LOG = logging.getLogger(__name__)

HALF_OPEN, HALF_OPEN_PER_ADDRESS = 32, 16
"""Viewers that may be connecting at a time, and of them from one address."""
_BODY_S = 5.0
_CLOSE_S = 0.8
_RETRY_S = 5


class Whep:
    """The WHEP endpoint and its peers. Lives on the event loop."""

    def __init__(
        self,
        streams: Sequence[SharedStream[Any]],
        commands: Mapping[str, Callable[[], None]],
        *,
        viewers_limit: int,
        half_open_s: float,
    ) -> None:
        self._streams, self._commands = streams, commands
        self._viewers_limit = viewers_limit
        self._half_open_s = half_open_s
        self._peers: dict[str, Peer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def viewers(self) -> int:
        """How many peers there are, those that are still connecting included."""
        return len(self._peers)

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        return [web.post("/whep", self._post), web.delete("/whep/{session}", self._delete)]

    async def close(self) -> None:
        """Close every peer; does not wait longer than 0.8 s for them."""
        for peer in self._peers.values():
            peer.end()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_CLOSE_S)

    async def _post(self, request: web.Request) -> web.Response:
        if request.content_type != "application/sdp":
            raise web.HTTPUnsupportedMediaType(text="Send the offer as application/sdp.")
        if "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(text="Send the offer as it is, not compressed.")
        try:
            async with asyncio.timeout(_BODY_S):
                body = await request.read()
        except TimeoutError as problem:
            raise web.HTTPRequestTimeout(text=f"The offer did not arrive within {_BODY_S:g} s.") from problem
        self._check_half_open(request.remote)
        if len(self._peers) >= self._viewers_limit:  # from here to the peer's entry nothing is awaited
            raise web.HTTPServiceUnavailable(
                text=f"All {self._viewers_limit} places are taken.",
                headers={"Retry-After": str(_RETRY_S)},
            )
        try:
            session, answer = await self._open(body, request.remote)
        except OfferError as problem:
            LOG.info("Refused an offer: %s (%r)", problem, problem.__cause__)
            raise web.HTTPBadRequest(text=str(problem)) from problem
        return web.Response(
            status=201,
            text=answer,
            content_type="application/sdp",
            headers={"Location": f"/whep/{session}", "ETag": f'"{session}"'},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        if session not in self._peers:
            raise web.HTTPNotFound(text="There is no such session; it may have ended already.")
        self._peers[session].end()
        await asyncio.wait([self._tasks[session]])
        return web.Response(text="The session has ended.")

    def _check_half_open(self, remote: str | None) -> None:
        """Those who are still connecting have places of their own: they take none from those who watch."""
        remotes = [peer.remote for peer in self._peers.values() if not peer.settled.is_set()]
        if len(remotes) >= HALF_OPEN or remotes.count(remote) >= HALF_OPEN_PER_ADDRESS:
            raise web.HTTPServiceUnavailable(
                text="Too many are connecting at this moment.", headers={"Retry-After": str(_RETRY_S)}
            )

    async def _open(self, body: bytes, remote: str | None) -> tuple[str, str]:
        offer, videos = admit(body)
        peer = Peer(self._streams[:videos], Control(self._commands), remote)
        session = secrets.token_urlsafe(24)
        self._peers[session] = peer
        task = self._tasks[session] = asyncio.create_task(self._close_at_end(session, peer))
        try:
            return session, await peer.answer(offer)
        except BaseException:
            peer.end()
            await asyncio.wait([task])
            raise

    async def _close_at_end(self, session: str, peer: Peer) -> None:
        """Wait until a peer ends, or does not connect in time, and close it: the only place that does."""
        try:
            async with asyncio.timeout(self._half_open_s):
                await peer.settled.wait()
            await peer.ended.wait()
        except TimeoutError:
            LOG.info("A viewer did not connect within %g s.", self._half_open_s)
        finally:
            try:
                await peer.close()
            finally:
                del self._peers[session], self._tasks[session]
