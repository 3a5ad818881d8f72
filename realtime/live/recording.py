"""Records a session as an .mp4 that plays whatever happens to the program."""

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.video.frame import PictureType
from av.video.stream import VideoStream

from engines.errors import UserError
from engines.files import FULL
from realtime.frame import Frame
from realtime.live.output import POLL_S, WorkingOutput, fitted
from server.encoder import Packet
from server.sound import PACKET_SAMPLES, RATE_HZ, SharedSound, SoundPacket, set_opus, silence
from server.sound_track import as_packet

TICK = Fraction(1, 90_000)
FRAGMENT_S = 1.0
"""Between key frames; what a crash costs at most."""
SOUND_BACKLOG = 500
"""Most packets of sound that wait to be written: ten seconds."""
INTERLEAVE_US = 200_000
"""Pictures wait no longer for sound that does not come, nor sound for pictures."""
FINISH_S = 5.0
"""So long the end of a file may take to be written."""
OPTIONS = {"preset": "superfast", "crf": "20", "bf": "0", "g": "3000", "threads": "1"}
LOG = logging.getLogger(__name__)
Problem = (OSError, av.error.FFmpegError)


class RecordingOutput(WorkingOutput):
    """Writes the frames that come, at the times when they were captured, as H.264.

    The file is fragmented while it is open, so a crash leaves all but the last second, and an ordinary .mp4 afterwards.
    Frames of another size than the first are fitted into its. Sound is what viewers hear, at the times when it was
    captured. A disk that is full ends the recording and nothing else.

    Args:
        path: the .mp4, which must not be there yet; missing folders are made.
        comment: what the file says of itself.
        sound: what is heard with the frames.
        finish: called, in the recording's thread, with the path of the whole file; its `UserError` is said by `on_end`.
        on_end: told, in the recording's thread, why it ended by itself.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        comment: str = "",
        sound: SharedSound | None = None,
        finish: Callable[[Path], object] = lambda path: None,
        on_end: Callable[[str], object] = LOG.warning,
    ) -> None:
        super().__init__("record", stop_s=FINISH_S)
        self._sound, self._heard = sound, deque[SoundPacket](maxlen=SOUND_BACKLOG)
        self.path, self._comment, self._finish, self._on_end = path, comment, finish, on_end
        self.ended = False
        """Whether nothing more is recorded."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        except OSError as error:
            raise UserError(f"{path} cannot be recorded ({error.strerror}): give another name or allow it.") from error
        if sound is not None:
            sound.listen(self._heard.append)
        self._thread.start()

    @property
    def watched(self) -> bool:
        """Whether frames are recorded."""
        return not self.ended

    def close(self) -> None:
        """Let the work end."""
        self._listen_no_more()
        super().close()
        if self._thread.is_alive():
            LOG.warning("%s is not done yet: it may stay a fragmented .mp4, or unsigned.", self.path.name)

    def _work(self) -> None:
        file: _File | None = None
        try:
            while (frame := self._frames.take(POLL_S)) is not None or not self._stop.is_set():
                if frame is not None:
                    file = file or _File(self.path, frame, self._comment, with_sound=self._sound is not None)
                    file.write(frame)
                while file is not None and self._heard:
                    file.write_sound(self._heard.popleft())
            if file is not None:
                file.finish()
                self._finish(self.path)
            else:
                self.path.unlink()
        except UserError as error:
            self._on_end(str(error))
        except Problem as error:
            why = "no space is left on the disk" if error.errno in FULL else error.strerror or str(error)
            if file is not None:
                file.abandon()
            self._on_end(f"The recording {self.path.name} has ended, because {why}; everything else goes on.")
        finally:
            self._listen_no_more()
            self.ended = True

    def _listen_no_more(self) -> None:
        if self._sound is not None:
            self._sound.forget(self._heard.append)


class _File:
    """An .mp4 that is being written; the first frame decides its size."""

    def __init__(self, path: Path, first: Frame, comment: str, *, with_sound: bool) -> None:
        self._size_px = first.rgb.shape[1] & ~1, first.rgb.shape[0] & ~1
        self._begun_at_s = self._key_at_s = first.captured_at_s
        self._ticks, self._step = -1, 1
        flags = {"movflags": "hybrid_fragmented+frag_keyframe", "flush_packets": "1"}
        flags["max_interleave_delta"] = str(INTERLEAVE_US)
        self._path, self._whole_bytes = path, 0
        self._container = av.open(f"file:{path}", "w", format="mp4", options=flags)
        if comment:
            self._container.metadata["comment"] = comment
        stream = self._container.add_stream("libx264", rate=30, options=OPTIONS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size_px
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICK
        self._stream = stream
        self._sound: AudioStream | None = None
        if with_sound:
            sound = self._container.add_stream("libopus", rate=RATE_HZ)
            assert isinstance(sound, AudioStream)
            set_opus(sound.codec_context)
            self._sound = sound
            # Nothing reaches the disk until every track has a packet, and sound may never come.
            self._mux_sound(silence(), 0)

    def write(self, frame: Frame) -> None:
        """Append a frame."""
        at_s = frame.captured_at_s - self._begun_at_s
        picture = av.VideoFrame.from_ndarray(fitted(frame.rgb, self._size_px), format="rgb24")
        ticks = max(self._ticks + 1, round(at_s / TICK))
        self._ticks, self._step = ticks, ticks - self._ticks if ticks else 1
        picture.pts, picture.time_base = ticks, TICK
        if ticks == 0 or frame.captured_at_s - self._key_at_s >= FRAGMENT_S:
            picture.pict_type, self._key_at_s = PictureType.I, frame.captured_at_s
        self._mux(self._stream.encode(picture))
        if ticks and picture.pict_type == PictureType.I:
            self._whole_bytes = self._path.stat().st_size  # the fragment before is whole

    def write_sound(self, sound: SoundPacket) -> None:
        """Append sound; what belongs before the first frame is left out."""
        pts = sound.pts - round(self._begun_at_s * RATE_HZ)
        if pts >= PACKET_SAMPLES:
            self._mux_sound(sound, pts)

    def _mux_sound(self, sound: SoundPacket, pts: int) -> None:
        assert self._sound is not None
        packet = as_packet(sound)
        packet.pts = packet.dts = pts
        packet.duration, packet.stream = PACKET_SAMPLES, self._sound
        self._container.mux_one(packet)

    def finish(self) -> None:
        """Write what is left, and make an ordinary .mp4 of it."""
        self._mux(self._stream.encode(None))
        self._container.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            packet.duration = self._step  # only the last one's counts: it is shown for as long as the one before
        self._container.mux(packets)

    def abandon(self) -> None:
        """Let go of the file, up to its last whole fragment: players stumble over a part of one."""
        with suppress(*Problem):
            self._container.close()
        with suppress(OSError):
            os.truncate(self._path, self._whole_bytes or self._path.stat().st_size)
