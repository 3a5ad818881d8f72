"""Which NVIDIA parts are here."""

import importlib.util
import os
from pathlib import Path

import pytest

_INSTALLED = bool(importlib.util.find_spec("tensorrt_rtx") and importlib.util.find_spec("cuda"))
assert _INSTALLED or "CI" not in os.environ, "CI must have the tensorrt-rtx extra"

needs_rtx = pytest.mark.skipif(not _INSTALLED, reason="needs pip install 'bodydouble[tensorrt-rtx]'")
needs_no_gpu = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="a GPU is here: run `engines verify`")
