"""One client's WebRTC connection by aiortc, whatever is sent over it: from its offer to its end."""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress

from aiortc import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSctpTransport, RTCSessionDescription
from aiortc.rtcsctptransport import Chunk

from server.ice_server import IceServer
from server.offer import USED_CANDIDATES, Offer, OfferError

LOG = logging.getLogger(__name__)


class Peer:
    """A connection that answers an offer. Lives on the event loop.

    Args:
        remote: the address that asked for it.
        ice_servers: what helps to find a way to the client.
    """

    def __init__(self, remote: str | None, ice_servers: Sequence[IceServer] = ()) -> None:
        self.remote = remote
        self.ice_users: frozenset[str] = frozenset()
        """The user name fragments of the client's ICE session."""
        self.settled = asyncio.Event()
        """The connection is established, or has ended."""
        self.ended = asyncio.Event()
        """The connection failed, was closed by the client, or shall be closed."""
        # Without a configuration aiortc would contact a public STUN server.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[each.for_aiortc for each in ice_servers]))
        self._candidates_left = USED_CANDIDATES
        self._answering = asyncio.Lock()
        """Held until all sockets of the answer are open: those that open later would outlive the connection."""

    @property
    def live(self) -> bool:
        """The connection is established, and has not ended."""
        return self.settled.is_set() and not self.ended.is_set()

    async def answer(self, offer: Offer) -> str:
        """Answer an admitted offer. Raises `OfferError`; the peer must be closed in any case."""
        self.ice_users = offer.ice_users
        self._connection.on("connectionstatechange", self._note_state)
        try:
            async with self._answering:
                self._prepare()
                await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
                _part_pictures(self._connection)
                if self._connection.sctp is not None:
                    _lose_what_is_late(self._connection.sctp)
                await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as problem:  # measured: six kinds of exceptions for mutated offers
            raise OfferError("The offer cannot be answered: it contradicts itself.") from problem
        return with_one_fingerprint(self._connection.localDescription.sdp)

    async def add_candidates(self, candidates: Iterable[RTCIceCandidate]) -> None:
        """Try more ways to the client; only the first few of a session, as each makes packets to where it says."""
        for candidate in candidates:
            if self._candidates_left and not self.ended.is_set():
                self._candidates_left -= 1
                await self._connection.addIceCandidate(candidate)

    async def close(self) -> None:
        """End the connection and everything that belongs to it."""
        self.end()
        self._release()
        try:
            async with self._answering:
                await self._connection.close()
        except AttributeError as problem:  # measured, of a data channel whose transport never came about
            LOG.debug("aiortc failed to close a connection: %r", problem)

    def end(self) -> None:
        """Ask the task that waits for `ended` to close this peer."""
        self.ended.set()
        self.settled.set()

    def _prepare(self) -> None:
        """Add what is sent, and handlers of what is received."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what aiortc leaves alone if the connection never came about."""
        raise NotImplementedError

    def _note_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.settled.set()
        elif state in ("failed", "closed"):
            self.end()


def _part_pictures(connection: RTCPeerConnection) -> None:
    """Leave only the first picture in the sound's stream (RFC 8830): of several Chromium keeps none in time with it."""
    pictures = [each for each in connection.getTransceivers() if each.kind == "video"]
    for transceiver in pictures[1:]:
        transceiver.sender._stream_id = str(uuid.uuid4())


def _lose_what_is_late(transport: RTCSctpTransport) -> None:
    """Let messages to a client that has gone be lost: aiortc sends them in tasks whose errors nobody hears."""
    send = transport._send_chunk

    async def send_or_lose(chunk: Chunk) -> None:
        with suppress(ConnectionError):
            await send(chunk)

    transport._send_chunk = send_or_lose  # type: ignore[method-assign]


def with_one_fingerprint(sdp: str) -> str:
    """A description with SHA-256 fingerprints only.

    Given others, too, libdatachannel, which OBS uses, now and then compares one with the hash of another.
    """
    lines = sdp.split("\r\n")
    return "\r\n".join(
        line for line in lines if not line.startswith("a=fingerprint:") or line.startswith("a=fingerprint:sha-256 ")
    )
