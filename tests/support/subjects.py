"""Subjects changed on purpose."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from engines.files import sha256
from realtime.subject import MANIFEST, Manifest, write_manifest


def sign(folder: Path) -> None:
    """Make the manifest know the files as they are now."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    write_manifest(folder, msgspec.structs.replace(manifest, files=files))


def poison(graph: Path, target: Path, value: float) -> None:
    """Write an ONNX graph anew with `value` in one bias of its last convolution that has any."""
    model = onnx.load(graph)
    bias = [node for node in model.graph.node if node.op_type == "Conv" and len(node.input) == 3][-1].input[2]
    (constant,) = (each for each in model.graph.initializer if each.name == bias)
    values = numpy_helper.to_array(constant).copy()
    values[5] = np.float32(value)
    constant.CopyFrom(numpy_helper.from_array(values, bias))
    onnx.save(model, target)
