"""Check SDP offers, and remove what aiortc stumbles over, before any socket is opened for them."""

import re

from aiortc.sdp import MediaDescription, SessionDescription

MAX_OFFER_BYTES = 64 * 1024
MAX_VIDEOS = 2
MAX_CANDIDATES = 32


class OfferError(ValueError):
    """An offer that cannot be answered; the message is one sentence for the person who sent it."""


def admit(body: bytes) -> tuple[str, int]:
    """Check an SDP offer (RFC 8866, RFC 9429) and return it as aiortc should read it, with its number of videos.

    Raises `OfferError`.
    """
    try:
        offer = body.decode()
    except UnicodeDecodeError as problem:
        raise OfferError("The offer is not text in UTF-8.") from problem
    if not offer.startswith("v=0"):
        raise OfferError("The body is not an SDP offer: it must begin with v=0.")
    kinds = re.findall(r"^m=(\S*)", offer, re.MULTILINE)
    channels = kinds.count("application")
    videos = len(kinds) - channels
    if not 1 <= videos <= MAX_VIDEOS:
        raise OfferError(f"The offer has {videos} media sections; one or {MAX_VIDEOS} are possible.")
    if channels > 1:
        raise OfferError(f"The offer has {channels} sections for data channels; one is possible.")
    if offer.count("a=candidate:") > MAX_CANDIDATES:
        raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")
    offer = _tidy(offer)
    try:
        session = SessionDescription.parse(offer)
    except Exception as problem:  # the parser trusts its input and raises whatever comes of that
        raise OfferError("The offer cannot be read as SDP.") from problem
    for section in session.media:
        if section.kind == "application":
            _check_channel(section)
        else:
            _check_video(section)
        if section.dtls is None or not section.dtls.fingerprints:
            raise OfferError("The offer lacks a=setup or a=fingerprint.")
    return offer, videos


def _tidy(offer: str) -> str:
    # Host names of the sender's own network do not resolve here and cost a second each; told that no candidates
    # follow, aiortc gives up before Firefox's first connectivity check has arrived.
    offer = re.sub(r"^a=(?:candidate:.*\.local .*|end-of-candidates)\r?\n", "", offer, flags=re.MULTILINE)
    # As DTLS client aiortc offers ECDSA suites only, which peers with RSA certificates refuse: let them be the client.
    return offer.replace("a=setup:actpass", "a=setup:active")


def _check_video(section: MediaDescription) -> None:
    if section.kind != "video":
        raise OfferError(f"The offer asks for {section.kind}; there is only video here.")
    if section.direction not in ("recvonly", "sendrecv"):
        raise OfferError("The offer must ask to receive video: a=recvonly.")
    if not any(codec.mimeType.lower() == "video/vp8" for codec in section.rtp.codecs):
        raise OfferError("The offer lacks VP8, the only codec that is sent here.")


def _check_channel(section: MediaDescription) -> None:
    if section.profile != "UDP/DTLS/SCTP" or not 0 < (section.sctp_port or 0) < 65536:
        raise OfferError("The offer of a data channel lacks UDP/DTLS/SCTP or a=sctp-port (RFC 8841).")
