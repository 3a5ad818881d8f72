"""Check SDP offers, and remove what aiortc stumbles over, before any socket is opened for them.

All of it works line by line: an offer comes from anybody, and a regular expression over the whole of it can be made to
take seconds.
"""

from collections.abc import Iterator

from aiortc.sdp import MediaDescription, SessionDescription

MAX_OFFER_BYTES = 16 * 1024
"""Browsers send 3 to 7 KB."""
MAX_LINES = 600
MAX_VIDEOS = 2
MAX_CANDIDATES = 32
USED_CANDIDATES = 8
"""Every one that is tried makes packets to whatever address it names, so only the first few are."""
DIRECTIONS = {f"a={direction}" for direction in ("sendrecv", "sendonly", "recvonly", "inactive")}
TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
"""What a bundled section may leave out, for it shares the first one's transport (RFC 9143, section 7.1.3)."""


class OfferError(ValueError):
    """An offer that cannot be answered; the message is one sentence for the person who sent it."""


def admit(body: bytes) -> tuple[str, int]:
    """Check an SDP offer (RFC 8866, RFC 9429) and return it as aiortc should read it, with its number of videos.

    Audio may be offered beside; it is answered as inactive.

    Raises:
        OfferError: it cannot be answered.
    """
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError as problem:
        raise OfferError("The offer is not text in UTF-8.") from problem
    if not lines or not lines[0].startswith("v=0"):
        raise OfferError("The body is not an SDP offer: it must begin with v=0.")
    if len(lines) > MAX_LINES:
        raise OfferError(f"The offer has more than {MAX_LINES} lines.")
    kinds = [line[2:].split(" ")[0] for line in lines if line.startswith("m=")]
    videos, audios, channels = (kinds.count(kind) for kind in ("video", "audio", "application"))
    if len(kinds) > videos + audios + channels or audios > 1 or not 1 <= videos <= MAX_VIDEOS:
        raise OfferError(
            f"The offer has {videos} video sections and {len(kinds) - videos - channels} others; one or {MAX_VIDEOS} "
            "for video and one for audio are possible."
        )
    if channels > 1:
        raise OfferError(f"The offer has {channels} sections for data channels; one is possible.")
    if sum(line.startswith("a=candidate:") for line in lines) > MAX_CANDIDATES:
        raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")
    offer = "".join(f"{line}\r\n" for line in _tidied(lines))
    try:
        session = SessionDescription.parse(offer)
    except Exception as problem:  # the parser trusts its input and raises whatever comes of that
        raise OfferError("The offer cannot be read as SDP.") from problem
    mids = {section.rtp.muxId for section in session.media}
    if any(not mids.issuperset(map(str, group.items)) for group in session.group if group.semantic == "BUNDLE"):
        raise OfferError("The offer bundles a media section that it does not have (RFC 9143).")
    for section in session.media:
        if section.kind == "application":
            _check_channel(section)
        elif section.kind == "video":
            _check_video(section)
        if section.dtls is None or not section.dtls.fingerprints:
            raise OfferError("The offer lacks a=setup or a=fingerprint.")
    return offer, videos


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


def _check_video(section: MediaDescription) -> None:
    if section.direction not in ("recvonly", "sendrecv"):
        raise OfferError("The offer must ask to receive video: a=recvonly.")
    if not any(codec.mimeType.lower() == "video/vp8" for codec in section.rtp.codecs):
        raise OfferError("The offer lacks VP8, the only codec that is sent here.")


def _check_channel(section: MediaDescription) -> None:
    if section.profile != "UDP/DTLS/SCTP" or not 0 < (section.sctp_port or 0) < 65536:
        raise OfferError("The offer of a data channel lacks UDP/DTLS/SCTP or a=sctp-port (RFC 8841).")
