"""When a publisher's sound was taken, on the clock on which its pictures come."""

from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket

from server.encoder import RTP_CLOCK_HZ
from server.sound import RATE_HZ
from server.steady_offset import SteadyOffset

_WRAP = 1 << 32
_CLOCKS_HZ = {"video": RTP_CLOCK_HZ, "audio": RATE_HZ}


class SoundClock:
    """Follows what a publisher's sender reports (RFC 3550, section 6.4.1) say of its time stamps.

    Pictures count from when they come. Sound that was sent of the same moment gets the same time; without reports it
    counts from when it comes, too.
    """

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, int]] = {}
        """By kind: a time of the publisher's clock in seconds, and the pts that belongs to it, modulo 2^32."""
        self._pictures, self._sounds = SteadyOffset(), SteadyOffset()

    def hear(self, kind: str, packet: AnyRtcpPacket, origin: int) -> None:
        """Take note of a packet about the "video" or the "audio", whose time stamp `origin` became the pts 0."""
        if isinstance(packet, RtcpSrPacket) and packet.sender_info.ntp_timestamp:
            info = packet.sender_info
            if kind not in self._reports:
                self._pictures.clear()
                self._sounds.clear()
            self._reports[kind] = info.ntp_timestamp / _WRAP, info.rtp_timestamp - origin

    def picture(self, pts: int, received_at_s: float) -> None:
        """A picture has come."""
        self._pictures.add(received_at_s - self._sent_at_s("video", pts))

    def sound_at_s(self, pts: int, received_at_s: float) -> float:
        """When sound that has come was taken."""
        sent_at_s = self._sent_at_s("audio", pts)
        self._sounds.add(received_at_s - sent_at_s)
        by_pictures = len(self._reports) == len(_CLOCKS_HZ) and self._pictures.known
        return sent_at_s + (self._pictures if by_pictures else self._sounds).value_s

    def _sent_at_s(self, kind: str, pts: int) -> float:
        """On the publisher's clock; if that is not known yet, on that of the time stamps."""
        clock_hz = _CLOCKS_HZ[kind]
        if kind not in self._reports:
            return pts / clock_hz
        at_s, there = self._reports[kind]
        return at_s + ((pts - there + _WRAP // 2) % _WRAP - _WRAP // 2) / clock_hz
