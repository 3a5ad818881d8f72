"""Check SDP offers and fragments, and remove what aiortc stumbles over, before any socket is opened for them.

All of it works line by line: an offer comes from anybody, and a regular expression over the whole of it can be made to
take seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

from aiortc import RTCIceCandidate
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import is_codec_compatible
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from server.address import is_ip_address
from server.encoder import CodecName

MAX_OFFER_BYTES = 16 * 1024
"""Browsers send 3 to 7 KB."""
MAX_LINES = 600
MAX_CODECS = 128
"""Of a section: payload types have seven bits (RFC 3550, section 5.1)."""
MAX_CANDIDATES = 32
USED_CANDIDATES = 8
"""Every one that is tried makes packets to whatever address it names, so only the first few are."""
DIRECTIONS = {f"a={direction}" for direction in ("sendrecv", "sendonly", "recvonly", "inactive")}
TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
"""What a bundled section may leave out, for it shares the first one's transport (RFC 9143, section 7.1.3)."""


class OfferError(ValueError):
    """An offer or fragment that is malformed; the message is one sentence for the person who sent it."""

    status = 400
    """Of the HTTP response."""


class UnsupportedOfferError(OfferError):
    """An offer that is well-formed, but asks for what there is not."""

    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What an endpoint wants of an offer's video sections."""

    most_videos: int
    directions: frozenset[str]
    wrong_direction: str
    """What to say to other directions."""


WATCH = Admission(
    most_videos=2,
    directions=frozenset({"recvonly", "sendrecv"}),
    wrong_direction="The offer must ask to receive video: a=recvonly.",
)
PUBLISH = Admission(
    most_videos=1,
    directions=frozenset({"sendonly", "sendrecv"}),
    wrong_direction="The offer must send video: a=sendonly.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer that was admitted."""

    sdp: str
    """As aiortc should read it."""
    codecs: tuple[CodecName, ...]
    """Of each video section: the first in the offer that is possible here."""
    sound: bool
    """Whether it asks to receive sound, too, as Opus."""
    ice_users: frozenset[str]
    """The user name fragments of its ICE session; more than one if it is not bundled."""


def admit(body: bytes, admission: Admission) -> Offer:
    """Check an SDP offer (RFC 8866, RFC 9429).

    Audio may be offered beside the video.

    Raises:
        OfferError: it cannot be answered.
    """
    lines = _lines(body)
    if not lines or not lines[0].startswith("v=0"):
        raise OfferError("The body is not an SDP offer: it must begin with v=0.")
    kinds = [line[2:].split(" ")[0] for line in lines if line.startswith("m=")]
    videos, audios, channels = (kinds.count(kind) for kind in ("video", "audio", "application"))
    if len(kinds) > videos + audios + channels or audios > 1 or not 1 <= videos <= admission.most_videos:
        raise UnsupportedOfferError(
            f"The offer has {videos} video sections and {len(kinds) - videos - channels} others; "
            f"{' or '.join(('one', 'two')[: admission.most_videos])} for video and one for audio are possible."
        )
    if channels > 1:
        raise UnsupportedOfferError(f"The offer has {channels} sections for data channels; one is possible.")
    if any(_is_rejected(section) for section in _sections(lines)):
        raise UnsupportedOfferError("The offer has a section that it rejects itself (port 0): leave it out.")
    if any(sum(line.startswith("a=rtpmap:") for line in section) > MAX_CODECS for section in _sections(lines)):
        raise OfferError(f"The offer has more than {MAX_CODECS} codecs in a section.")
    offer = "".join(f"{line}\r\n" for line in _tidied(lines))
    try:
        session = SessionDescription.parse(offer)
    except Exception as problem:  # the parser trusts its input and raises whatever comes of that
        raise OfferError("The offer cannot be read as SDP.") from problem
    mids = {section.rtp.muxId for section in session.media}
    if any(not mids.issuperset(map(str, group.items)) for group in session.group if group.semantic == "BUNDLE"):
        raise OfferError("The offer bundles a media section that it does not have (RFC 9143).")
    codecs, sound = [], False
    for section in session.media:
        if section.kind == "application":
            _check_channel(section)
        elif section.kind == "video":
            codecs.append(_check_video(section, admission))
        else:
            sound = section.direction in WATCH.directions and any(c.name.lower() == "opus" for c in section.rtp.codecs)
        if section.dtls is None or not section.dtls.fingerprints:
            raise OfferError("The offer lacks a=setup or a=fingerprint.")
    return Offer(sdp=offer, codecs=tuple(codecs), sound=sound, ice_users=_ice_users(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a client adds to its offer's ICE session (RFC 8840)."""

    ice_users: frozenset[str]
    """The user name fragments it is meant for; those of another session ask for an ICE restart."""
    candidates: tuple[RTCIceCandidate, ...]
    """Those that can be used here."""


def read_fragment(body: bytes) -> Fragment:
    """Read an SDP fragment of trickle ICE.

    That no more candidates follow is left out, as in offers.

    Raises:
        OfferError: it is malformed.
    """
    lines, mid, candidates = _lines(body), None, []
    if not (users := _ice_users(lines)):
        raise OfferError("The fragment lacks a=ice-ufrag (RFC 8840).")
    for line in lines:
        if line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:")
        elif line.startswith("a=candidate:"):
            try:
                candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
            except (AssertionError, ValueError) as problem:
                raise OfferError("The fragment has a candidate that cannot be read.") from problem
            if candidate.protocol.lower() == "udp" and is_ip_address(candidate.ip) and 0 < candidate.port < 65536:
                candidate.sdpMid, candidate.sdpMLineIndex = mid, None if mid else 0
                candidates.append(candidate)
    return Fragment(ice_users=users, candidates=tuple(candidates))


def _lines(body: bytes) -> list[str]:
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError as problem:
        raise OfferError("The body is not text in UTF-8.") from problem
    if len(lines) > MAX_LINES:
        raise OfferError(f"The body has more than {MAX_LINES} lines.")
    if sum(line.startswith("a=candidate:") for line in lines) > MAX_CANDIDATES:
        raise OfferError(f"The body has more than {MAX_CANDIDATES} candidates.")
    return lines


def _ice_users(lines: list[str]) -> frozenset[str]:
    return frozenset(line.removeprefix("a=ice-ufrag:") for line in lines if line.startswith("a=ice-ufrag:"))


def _tidied(lines: list[str]) -> Iterator[str]:
    transport: dict[str, list[str]] = {}
    candidates = 0
    for section in _sections(lines):
        for attribute in TRANSPORT:
            own = [line for line in section if line.startswith(attribute)]
            # As DTLS client aiortc offers ECDSA suites only, which peers with RSA certificates refuse: so they are it.
            transport[attribute] = [line.replace("actpass", "active") for line in own] or transport.get(attribute, [])
        for line in section:
            # Host names of the sender's own network do not resolve here and cost a second each; told that no
            # candidates follow, aiortc gives up before Firefox's first connectivity check has arrived.
            if line.startswith("a=candidate:"):
                candidates += ".local " not in line
                if ".local " not in line and candidates <= USED_CANDIDATES:
                    yield line
            elif not line.startswith(("a=end-of-candidates", *TRANSPORT)):
                yield line
        if section[0].startswith("m="):
            yield from (line for each in transport.values() for line in each)
            if section[0].startswith(("m=video", "m=audio")) and not DIRECTIONS & set(section):
                yield "a=sendrecv"  # what no direction means (RFC 8866, section 6.7)


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """The lines of the session, then those of each media section."""
    starts = [0, *(number for number, line in enumerate(lines) if line.startswith("m="))]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start:end]


def _is_rejected(section: list[str]) -> bool:
    """Whether a media section is none (RFC 3264, section 6); one that is only bundled has no port, either."""
    return section[0].startswith("m=") and section[0].split(" ")[1:2] == ["0"] and "a=bundle-only" not in section


def _check_video(section: MediaDescription, admission: Admission) -> CodecName:
    if section.direction not in admission.directions:
        raise UnsupportedOfferError(admission.wrong_direction)
    for codec in section.rtp.codecs:
        if codec.name in get_args(CodecName) and any(is_codec_compatible(each, codec) for each in CODECS["video"]):
            return cast(CodecName, codec.name)
    raise UnsupportedOfferError(
        "The offer lacks VP8 and H264 (constrained baseline, packetization-mode=1): no other codec is possible here."
    )


def _check_channel(section: MediaDescription) -> None:
    if section.profile != "UDP/DTLS/SCTP" or not 0 < (section.sctp_port or 0) < 65536:
        raise OfferError("The offer of a data channel lacks UDP/DTLS/SCTP or a=sctp-port (RFC 8841).")
