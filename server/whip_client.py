"""Sends a stream to whoever receives by WHIP (RFC 9725), e.g. an SFU, which has more viewers than one machine can."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from yarl import URL

from server.encoder import CodecName
from server.ice_server import IceServer
from server.peer import with_one_fingerprint
from server.sound_track import SoundBroadcast, SoundTrack, send_sound
from server.stream import SharedStream
from server.viewer_peer import StreamTrack, send_track

CODEC: CodecName = "VP8"
"""Every receiver has to know it (RFC 7742, section 5)."""
CONNECT_S = 10.0
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between tries; the last one goes on."""
_LEAVE_S = 0.5
LOG = logging.getLogger(__name__)


class WhipError(RuntimeError):
    """The receiver cannot be published to; the message says why."""


def read_endpoint(text: str) -> URL:
    """A WHIP endpoint's URL.

    Raises:
        ValueError: it is none; the message is a sentence.
    """
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{text!r} is no WHIP endpoint: give its URL, http:// or https://.")
    return url


class WhipClient:
    """Publishes a shared stream, and again whenever the connection was lost. Lives on the event loop.

    Args:
        endpoint: where it is posted to.
        stream: what is sent; it is not encoded again.
        token: the endpoint's Bearer token.
        ice_servers: what helps to find a way.
        sound: what is heard with the stream.
    """

    def __init__(
        self,
        endpoint: URL,
        stream: SharedStream[Any],
        *,
        token: str | None = None,
        ice_servers: Sequence[IceServer] = (),
        sound: SoundBroadcast | None = None,
    ) -> None:
        self._sound = sound
        self._url, self._stream, self._token = endpoint, stream, token
        self._ice_servers = [each.for_aiortc for each in ice_servers]
        self.live = False
        """Whether the stream is being sent."""

    async def run(self) -> None:
        """Publish until cancelled."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout, failures, said = aiohttp.ClientTimeout(total=CONNECT_S), 0, ""
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            while True:
                try:
                    await self._publish(http, again=bool(said))
                    why, failures, said = "the connection was lost", 0, ""
                except (aiohttp.ClientError, OSError, WhipError) as problem:
                    why = _why(problem)
                if why != said:
                    LOG.warning("Publishing to %s: %s. Trying again.", self._url.origin(), why)
                    said = why
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    async def _publish(self, http: aiohttp.ClientSession, *, again: bool) -> None:
        """Connect, and return when the connection has been lost."""
        connection = RTCPeerConnection(RTCConfiguration(iceServers=self._ice_servers))
        track, session = StreamTrack(self._stream, CODEC), None
        sound = None if self._sound is None else SoundTrack(self._sound)
        settled, ended = asyncio.Event(), asyncio.Event()

        def note() -> None:
            self.live = connection.connectionState == "connected"
            if self.live:
                settled.set()
            elif connection.connectionState in ("failed", "closed"):
                settled.set()
                ended.set()

        connection.on("connectionstatechange", note)
        try:
            send_track(connection, track, CODEC)
            if sound is not None:
                send_sound(connection, sound)
            await connection.setLocalDescription(await connection.createOffer())
            session, answer = await self._post(http, with_one_fingerprint(connection.localDescription.sdp))
            try:
                await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            except Exception as problem:  # aiortc raises whatever comes of what others wrote
                raise WhipError("the answer cannot be used") from problem
            async with asyncio.timeout(CONNECT_S):
                await settled.wait()
            if not self.live:
                raise WhipError("the stream cannot get through")
            LOG.log(logging.WARNING if again else logging.INFO, "Publishing to %s.", self._url.origin())
            await ended.wait()
        finally:
            self.live = False
            track.stop()
            if sound is not None:
                sound.stop()
            await connection.close()
            if session is not None:
                with suppress(aiohttp.ClientError, OSError):
                    await (await http.delete(session, timeout=aiohttp.ClientTimeout(total=_LEAVE_S))).read()

    async def _post(self, http: aiohttp.ClientSession, offer: str) -> tuple[URL, str]:
        """The session's URL and the answer."""
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        async with http.post(self._url, data=offer, headers=headers) as response:
            text = await response.text(errors="replace")
            if response.status != 201:
                raise WhipError(f"it answers {response.status} {response.reason}")
            if "Location" not in response.headers:
                raise WhipError("it names no session (RFC 9725, section 4.2)")
            try:
                return response.url.join(URL(response.headers["Location"])), text
            except ValueError as problem:
                raise WhipError("the session that it names has no URL") from problem


def _why(problem: Exception) -> str:
    """Why nothing could be published, for a sentence."""
    match problem:
        case TimeoutError():
            return "it does not answer in time"
        case aiohttp.ClientConnectorDNSError():
            return "there is no such host"
        case aiohttp.ClientSSLError():
            return str(problem)
        case aiohttp.ClientConnectorError():
            return "nothing answers there"
    return str(problem) or type(problem).__name__
