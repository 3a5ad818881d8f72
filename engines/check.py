"""Whether a graph is sound, before anything is built from it."""

from pathlib import Path

from engines.errors import UserError


def check_graph(graph: Path) -> None:
    """Look at the whole graph and at every weight; without the package onnx only its readers will.

    Raises:
        UserError: it breaks ONNX's rules, or a weight is NaN or infinite.
    """
    try:
        from engines.onnx_check import find_fault
    except ModuleNotFoundError:
        return
    if fault := find_fault(graph):
        raise UserError(f"{graph} is broken ({fault}): export or download the subject again.")
