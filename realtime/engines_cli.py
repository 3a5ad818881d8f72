"""`engines`: build, check and measure how this machine runs a subject's networks."""

from typing import Literal

from tyro.conf import Positional

from engines.cli import bench
from engines.console import run_commands
from realtime.engines_verify import verify_subject


def build(
    subject: Positional[str] = "alice",
    /,
    backend: Literal["tensorrt-rtx"] = "tensorrt-rtx",
    precision: Literal["f16", "f32"] = "f16",
    target: str = "",
) -> None:
    """Build a subject's engines ahead of time; the other backends build when they are first used.

    Args:
        subject: whose: a name, or the path of a subject's folder.
        backend: what will run them.
        precision: its arithmetic.
        target: generations of GPUs, none of which has to be here, e.g. sm89,sm120; all unless given.
    """
    from engines.cache import Cache
    from engines.rtx_plan import TARGETS, check_targets
    from realtime.engines_ahead import build_plans
    from realtime.subject import load_subject

    targets = check_targets(target.split(",")) if target else TARGETS
    build_plans(load_subject(subject), precision=precision, targets=targets, cache=Cache())


def main() -> None:
    """Entry point."""
    run_commands(
        {"bench": bench, "build": build, "verify": verify_subject},
        prog="engines",
        description="Build, check and measure how this machine runs a subject's networks.",
    )
