"""WHEP (draft-ietf-wish-whep) and WHIP (RFC 9725): a client posts an offer, gets the answer, and deletes its session.

Both are one protocol, so one handler does: what differs is an `Endpoint`. Candidates may follow by PATCH (trickle ICE).
An ICE restart is refused with 422, which lets the session go on as it is, and is what the texts ask of who has trickle
ICE only: aiortc cannot exchange the parameters of its ICE transport. Counter-offers (WHEP's 406) are not made either:
406 says that the client does not accept SDP as an answer.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from server.access import Access, Role
from server.ice_server import IceServer
from server.offer import Admission, Offer, OfferError, admit, read_fragment
from server.peer import Peer

LOG = logging.getLogger(__name__)

HALF_OPEN, HALF_OPEN_PER_ADDRESS = 32, 16
"""Peers that may be connecting at a time, and of them from one address."""
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
_BODY_S = 5.0
_CLOSE_S = 0.8
_RETRY_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where offers of one kind are posted."""

    path: str
    role: Role
    """What a client needs for it."""
    admission: Admission
    """What its offers must be like."""
    make_peer: Callable[[web.Request, Offer], Peer]
    """Raises a `web.HTTPException` if none can be had now."""
    has_room: Callable[[], bool]
    """Whether one more peer may come."""


class Sessions:
    """The endpoints and their peers. Lives on the event loop.

    Args:
        endpoints: what clients may do.
        access: who may do it.
        ice_servers: what clients are told to use.
        half_open_s: a peer that has not connected within so long is dropped.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], access: Access, ice_servers: Sequence[IceServer], *, half_open_s: float
    ) -> None:
        self._endpoints, self._access = endpoints, access
        self._links = [("Link", server.link) for server in ice_servers]
        self._half_open_s = half_open_s
        self._peers: dict[str, Peer] = {}
        """By the path of their session."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._rejected = Counter[int]()

    @property
    def rejected(self) -> Mapping[int, int]:
        """How many offers were refused, by the status of the response."""
        return self._rejected

    def count(self, path: str) -> int:
        """How many peers an endpoint has, those that are still connecting included."""
        return sum(each.startswith(f"{path}/") for each in self._peers)

    def routes(self) -> list[web.RouteDef]:
        """The endpoints' routes. Other methods than these get 405."""
        return [route for endpoint in self._endpoints for route in self._routes_of(endpoint)]

    async def close(self) -> None:
        """Close every peer; does not wait longer than 0.8 s for them."""
        for peer in self._peers.values():
            peer.end()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_CLOSE_S)

    def _routes_of(self, endpoint: Endpoint) -> list[web.RouteDef]:
        session = endpoint.path + "/{session}"

        async def post(request: web.Request) -> web.Response:
            try:
                await self._access.check(request, endpoint.role)
                return await self._post(request, endpoint)
            except web.HTTPException as refusal:
                self._rejected[refusal.status] += 1
                raise

        async def change(request: web.Request) -> web.Response:
            await self._access.check(request, endpoint.role)
            if request.path not in self._peers:
                raise web.HTTPNotFound(text="There is no such session; it may have ended already.")
            return await (self._patch(request) if request.method == "PATCH" else self._delete(request))

        async def options(request: web.Request) -> web.Response:
            response = web.Response(headers={"Accept-Post": SDP, "Allow": "OPTIONS, GET, POST"})
            if self._access.role(request) is not None:
                response.headers.extend(self._links)
            return response

        return [
            web.post(endpoint.path, post),
            web.options(endpoint.path, options),
            web.get(endpoint.path, _nothing),
            web.patch(session, change),
            web.delete(session, change),
            web.options(session, _session_options),
            web.get(session, _nothing),
        ]

    async def _post(self, request: web.Request, endpoint: Endpoint) -> web.Response:
        body = await read_body(request, SDP)
        accepted = request.headers.get("Accept", "*/*")
        if not any(kind in accepted for kind in (SDP, "application/*", "*/*")):
            raise web.HTTPNotAcceptable(text=f"The answer is {SDP}, which the request does not accept.")
        self._check_half_open(request.remote)
        if not endpoint.has_room():  # from here to the peer's entry nothing is awaited
            raise all_taken()
        try:
            offer = admit(body, endpoint.admission)
            path, answer = await self._open(endpoint.path, endpoint.make_peer(request, offer), offer)
        except OfferError as problem:
            LOG.info("Refused an offer: %s", problem, extra={"endpoint": endpoint.path})
            LOG.debug("It was refused because of %r.", problem.__cause__)
            raise _refusal(problem) from problem
        response = web.Response(status=201, text=answer, content_type=SDP)
        response.headers.update({"Location": path, "ETag": _tag(path), "Accept-Patch": FRAGMENT})
        response.headers.extend(self._links)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        matched = request.headers.get("If-Match")
        if matched is None:
            raise web.HTTPPreconditionRequired(text="Send the session's ETag as If-Match.")
        if not {"*", _tag(request.path)} & {tag.strip() for tag in matched.split(",")}:
            raise web.HTTPPreconditionFailed(text="If-Match names another ICE session than the present one.")
        try:
            fragment = read_fragment(await read_body(request, FRAGMENT))
        except OfferError as problem:
            raise _refusal(problem) from problem
        peer = self._peers.get(request.path)
        if peer is None:
            raise web.HTTPNotFound(text="The session has ended meanwhile.")
        if not fragment.ice_users <= peer.ice_users:
            raise web.HTTPUnprocessableEntity(
                text="The ICE session cannot be restarted here: it goes on as it is. Post a new offer instead."
            )
        await peer.add_candidates(fragment.candidates)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        self._peers[request.path].end()
        await asyncio.wait([self._tasks[request.path]])
        return web.Response(text="The session has ended.")

    def _check_half_open(self, remote: str | None) -> None:
        """Only so many may be connecting: they have their places already, and who never connects cannot take all."""
        remotes = [peer.remote for peer in self._peers.values() if not peer.settled.is_set()]
        if len(remotes) >= HALF_OPEN or remotes.count(remote) >= HALF_OPEN_PER_ADDRESS:
            raise _busy("Too many are connecting at this moment.")

    async def _open(self, endpoint_path: str, peer: Peer, offer: Offer) -> tuple[str, str]:
        path = f"{endpoint_path}/{secrets.token_urlsafe(24)}"
        self._peers[path] = peer
        LOG.info("A client has come.", extra=_about(path))
        task = self._tasks[path] = asyncio.create_task(self._close_at_end(path, peer))
        try:
            return path, await peer.answer(offer)
        except BaseException:
            peer.end()
            await asyncio.wait([task])
            raise

    async def _close_at_end(self, path: str, peer: Peer) -> None:
        """Wait until a peer ends, or does not connect in time, and close it: the only place that does."""
        try:
            async with asyncio.timeout(self._half_open_s):
                await peer.settled.wait()
            if peer.live:
                LOG.info("A client has connected.", extra=_about(path))
            await peer.ended.wait()
            LOG.info("A client has gone.", extra=_about(path))
        except TimeoutError:
            LOG.info("A client did not connect within %g s.", self._half_open_s, extra=_about(path))
        finally:
            try:
                await peer.close()
            finally:
                del self._peers[path], self._tasks[path]


async def read_body(request: web.Request, kind: str) -> bytes:
    """The body of a request, which has to be of this content type; raises a `web.HTTPException`."""
    if request.content_type != kind:
        header = "Accept-Patch" if request.method == "PATCH" else "Accept-Post"
        raise web.HTTPUnsupportedMediaType(text=f"Send the body as {kind}.", headers={header: kind})
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(text="Send the body as it is, not compressed.")
    try:
        async with asyncio.timeout(_BODY_S):
            return await request.read()
    except TimeoutError as problem:
        raise web.HTTPRequestTimeout(text=f"The body did not arrive within {_BODY_S:g} s.") from problem


async def _nothing(_: web.Request) -> web.Response:
    """What GET finds: a resource without a representation (RFC 9725, section 4.1)."""
    return web.Response(status=204)


async def _session_options(_: web.Request) -> web.Response:
    return web.Response(headers={"Accept-Patch": FRAGMENT, "Allow": "OPTIONS, GET, PATCH, DELETE"})


def _about(path: str) -> dict[str, str]:
    """What a session is called in logs: not by its whole id, for whoever knows that may end it."""
    endpoint, _, session = path.rpartition("/")
    return {"endpoint": endpoint, "session": session[:8]}


def _tag(path: str) -> str:
    """The entity-tag of a session's only ICE session."""
    return f'"{path.rpartition("/")[2]}"'


def all_taken() -> web.HTTPServiceUnavailable:
    """The refusal of one more, to be raised."""
    return _busy("All places are taken.")


def _busy(text: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=text, headers={"Retry-After": str(_RETRY_S)})


def _refusal(problem: OfferError) -> web.HTTPException:
    kind = web.HTTPUnprocessableEntity if problem.status == 422 else web.HTTPBadRequest
    return kind(text=str(problem))
