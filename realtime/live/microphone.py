"""The sound of this machine's microphone; the only place that knows the library behind it."""

import time
from typing import Any

import numpy as np

from engines.errors import UserError
from engines.install import install_line
from server.sound import CHANNELS, RATE_HZ, Hear, Samples

BLOCK_S = 0.02


class Microphone:
    """Hands over what the default microphone takes, until it is closed.

    Args:
        hear: takes the samples, in a thread of the library.

    Raises:
        UserError: there is no microphone, or the library is missing.
    """

    def __init__(self, hear: Hear) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:  # OSError: the library itself lacks PortAudio
            raise UserError(
                f"--microphone cannot be used ({error}): {install_line('microphone')}, on Linux also libportaudio2."
            ) from error
        try:
            # More than two would have to be mixed; PortAudio gives the first ones.
            channels = min(CHANNELS, int(sounddevice.query_devices(kind="input")["max_input_channels"]))
            self._stream = sounddevice.InputStream(
                samplerate=RATE_HZ,
                channels=channels,
                dtype="int16",
                blocksize=round(BLOCK_S * RATE_HZ),
                latency="low",
                callback=self._take,
            )
            self._hear = hear
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UserError(f"No microphone can be used here ({error}): connect one.") from error

    def close(self) -> None:
        """Let go of the device."""
        self._stream.close()

    def _take(self, block: np.ndarray[Any, Any], count: int, at: Any, status: object) -> None:
        age_s = max(0.0, at.currentTime - at.inputBufferAdcTime)
        pcm = np.repeat(block, CHANNELS // block.shape[1], axis=1)  # a copy: the library uses the block again
        self._hear(Samples(pcm, time.perf_counter() - age_s))
