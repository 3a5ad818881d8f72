"""The shared sound as tracks of WebRTC."""

import asyncio
from fractions import Fraction

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from server.encoder import Packet
from server.loop_handover import LoopHandover
from server.sound import RATE_HZ, SharedSound, SoundPacket

BACKLOG = 25
"""Most packets that wait for one listener, and on the way to the event loop: half a second. Older ones are dropped."""


class SoundBroadcast:
    """Brings the packets of a sound to the event loop, once for all who listen there. Lives on that loop.

    Args:
        sound: what is heard; it is listened to while anybody subscribes.
    """

    def __init__(self, sound: SharedSound) -> None:
        self._sound = sound
        self._queues: tuple[asyncio.Queue[Packet], ...] = ()
        self._handover = LoopHandover(self._fan_out, most=BACKLOG)

    @property
    def heard(self) -> bool:
        """Whether there has been sound a moment ago."""
        return self._sound.heard

    @property
    def listeners(self) -> int:
        """How many listen at this moment."""
        return len(self._queues)

    def subscribe(self) -> asyncio.Queue[Packet]:
        """A queue of the packets to come."""
        self._handover.attach()
        queue: asyncio.Queue[Packet] = asyncio.Queue(BACKLOG)
        if not self._queues:
            self._sound.listen(self._handover.put)
        self._queues = (*self._queues, queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Packet]) -> None:
        """Fill it no more."""
        self._queues = tuple(each for each in self._queues if each is not queue)
        if not self._queues:
            self._sound.forget(self._handover.put)

    def _fan_out(self, packet: SoundPacket) -> None:
        made = as_packet(packet)
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(made)


class SoundTrack(MediaStreamTrack):
    """A track of sound that is encoded already. It subscribes at its first `recv`, when the peer is connected."""

    kind = "audio"

    def __init__(self, broadcast: SoundBroadcast) -> None:
        super().__init__()
        self._broadcast = broadcast
        self._queue: asyncio.Queue[Packet] | None = None

    async def recv(self) -> Packet:
        """Wait for the next packet. Raises MediaStreamError once stopped."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._queue is None:
            self._queue = self._broadcast.subscribe()
        return await self._queue.get()

    def stop(self) -> None:
        """End the subscription."""
        super().stop()
        if self._queue is not None:
            self._broadcast.unsubscribe(self._queue)
            self._queue = None


def send_sound(connection: RTCPeerConnection, track: SoundTrack) -> None:
    """Add a sound to a connection; receivers play it with the pictures of that, for their stream has the same name."""
    transceiver = connection.addTransceiver(track, direction="sendonly")
    known = RTCRtpSender.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([each for each in known if each.mimeType == "audio/opus"])


def as_packet(packet: SoundPacket) -> Packet:
    """As PyAV's: to send or to write it."""
    made: Packet = av.Packet(packet.data)
    made.pts = made.dts = packet.pts
    made.time_base = Fraction(1, RATE_HZ)
    return made
