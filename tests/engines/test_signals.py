"""Signals after networks were loaded and dropped in any order."""

import subprocess
import sys
from pathlib import Path

import realtime.pose.estimation

NETWORK = Path(realtime.pose.estimation.__file__).parent / "networks" / "hand_refiner.int8.xml"
PROGRAM = f"""
import signal
from pathlib import Path
from engines.openvino import compile_model, read_model

signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
model = read_model(Path({str(NETWORK)!r}))
first = compile_model(model, "int8", 1)
second = compile_model(model, "int8", 1)
del first
del second
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_heard_when_engines_went_in_the_order_they_came() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
