"""The microphone, by a library that is scripted: no machine that tests has one."""

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engines.errors import UserError
from realtime.live.microphone import Microphone
from server.sound import Samples


class PortAudioError(Exception):
    """The library's own."""


def library(channels: int) -> SimpleNamespace:
    """What the code knows of sounddevice; its stream gives one block that was taken 40 ms ago."""

    class InputStream:
        def __init__(self, **options: Any) -> None:
            assert (options["samplerate"], options["dtype"]) == (48_000, "int16")
            self._take, self._channels = options["callback"], options["channels"]

        def start(self) -> None:
            block = np.arange(960 * self._channels, dtype=np.int16).reshape(960, self._channels)
            self._take(block, 960, SimpleNamespace(currentTime=7.0, inputBufferAdcTime=6.96), None)

        def close(self) -> None:
            """Nothing is open."""

    def query_devices(kind: str) -> dict[str, int]:
        assert kind == "input"
        if not channels:
            raise PortAudioError("Error querying device -1")
        return {"max_input_channels": channels}

    return SimpleNamespace(InputStream=InputStream, PortAudioError=PortAudioError, query_devices=query_devices)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_what_it_takes_is_stereo_and_has_its_time(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", library(channels))
    heard, before_s = list[Samples](), time.perf_counter()
    Microphone(heard.append).close()
    (samples,) = heard
    assert samples.pcm.shape == (960, 2)
    assert samples.pcm[1].tolist() == ([1, 1] if channels == 1 else [2, 3])
    assert before_s - 0.04 <= samples.captured_at_s <= time.perf_counter() - 0.039


def test_without_one_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", library(0))
    with pytest.raises(UserError, match=r"No microphone .*\(Error querying device -1"):
        Microphone(lambda samples: None)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"--microphone .* install .*\[microphone\]"):
        Microphone(lambda samples: None)
