"""STUN and TURN servers, by which peers find each other through other people's networks; none unless asked for."""

import re
from dataclasses import dataclass

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

_TEXT = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<user>[^\s:@<>\"]+):(?P<password>[^\s@\"]+)@)?(?P<rest>[^\s@<>\"]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """One STUN or TURN server."""

    url: str
    """RFC 7064 or 7065."""
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> "IceServer":
        """Read stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT?transport=udp.

        Raises:
            ValueError: it is neither; the message is a sentence.
        """
        match = _TEXT.fullmatch(text)
        url = f"{match['scheme']}:{match['rest']}" if match else text
        try:
            parse_stun_turn_uri(url)
        except ValueError as problem:
            raise ValueError(
                f"{text!r} is no ICE server: give stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT."
            ) from problem
        user, password = (match["user"], match["password"]) if match else (None, None)
        if url.startswith("turn") != (user is not None):
            raise ValueError(f"{text!r}: TURN servers need USER:PASSWORD@ before their host, STUN servers none.")
        return cls(url=url, user=user, password=password)

    @property
    def link(self) -> str:
        """A Link header's value (RFC 9725, section 4.6)."""
        value = f'<{self.url}>; rel="ice-server"'
        if self.user is not None:
            value += f'; username="{self.user}"; credential="{self.password}"; credential-type="password"'
        return value

    @property
    def for_aiortc(self) -> RTCIceServer:
        """The same for this side's connections."""
        return RTCIceServer(self.url, self.user, self.password)
