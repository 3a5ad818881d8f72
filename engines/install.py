"""What has to be installed for what is missing, as commands that work for this very installation."""

import re
import shutil
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

NAME = "bodydouble"
OURS = {"engines", "realtime", "server", "trainer"}
EXTRA_OF_MODULE = {
    "cuda": "torch-cuda",
    "mediapipe": "mediapipe",
    "onnxruntime": "onnxruntime",
    "playwright": "dev",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt-rtx",
    "torch_tensorrt": "torch-tensorrt",
}
"""Extras that are about one library; all other optional modules are of `train`."""
TRAIN = "train"
DISTRIBUTION_OF_MODULE = {"cv2": "opencv-python-headless", "pythonosc": "python-osc"}
"""Where the names differ; what is not installed cannot say itself whose it was."""


def install_line(extra: str = "") -> str:
    """The command that installs this project with an extra, from where it was installed."""
    return f"{_pip()} install '{_origin()}[{extra}]'" if extra else f"{_pip()} install '{_origin()}'"


def missing_message(error: ImportError) -> str | None:
    """A sentence about a library that is missing or broken and the command that mends it; None if it is our fault."""
    module = (error.name or "").split(".")[0]
    if isinstance(error, ModuleNotFoundError):
        if not module or module in OURS:
            return None
        extra = "" if _is_required(module) else EXTRA_OF_MODULE.get(module, TRAIN)
        return f"{module} is not installed, which this needs: {install_line(extra)}"
    if "cv2" in (module, *_modules_of(error)) or ".so" in str(error):
        if re.search(r"lib(GL|gthread|SM|Xext|Xrender)\b", str(error)):
            return (
                f"OpenCV cannot be loaded ({error}): it is the one with windows, which the mediapipe library brings. "
                f"{_pip()} install --force-reinstall --no-deps opencv-python-headless"
            )
        return (
            f"{module or 'A library'} cannot be loaded ({error}): {_pip()} install --force-reinstall {module or NAME}"
        )
    return None


def _modules_of(error: ImportError) -> list[str]:
    """The top packages whose import failed, from the inside."""
    found, trace = list[str](), error.__traceback__
    while trace is not None:
        found.insert(0, str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0])
        trace = trace.tb_next
    return found


def _is_required(module: str) -> bool:
    """Whether a module belongs to a distribution that the plain installation requires."""
    plain = {_normal(re.split(r"[^\w.-]", each)[0]) for each in _requirements() if "extra ==" not in each}
    return _normal(DISTRIBUTION_OF_MODULE.get(module, module)) in plain


def _normal(name: str) -> str:
    """A distribution's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _requirements() -> list[str]:
    try:
        return metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []


@cache
def _origin() -> str:
    """The folder or file that this was installed from; its name if it came from a registry."""
    try:
        told = metadata.distribution(NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return NAME
    url = msgspec.json.decode(told)["url"] if told else ""
    path = Path(unquote(urlsplit(url).path))
    return str(path) if url.startswith("file:") and path.exists() else NAME


def _pip() -> str:
    """How this environment's pip is called from this shell."""
    found = shutil.which("pip")
    return "pip" if found and Path(found).parent == Path(sys.executable).parent else f"{sys.executable} -m pip"
