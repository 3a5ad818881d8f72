"""The int8 graphs of a subject's networks, if their parity holds."""

from collections.abc import Sequence
from pathlib import Path

from engines.backends import int8_graph
from engines.build import check_parity
from engines.errors import UserError
from engines.load import load_engine
from engines.openvino import quantize
from realtime.frame import Rgb
from realtime.pose.figure.styles import Style
from realtime.pose.pose import Pose
from realtime.subject_clips import SubjectClips, choose_clips, save_clips


def add_int8(folder: Path, poses: Sequence[Pose | None], style: Style, plate: Rgb, *, threads: int) -> str:
    """Write calibration clips and, beside generator.onnx and face.onnx, their int8 graphs.

    Args:
        folder: the subject's, not yet finished.
        poses: of the footage that was trained on.
        style: how they are drawn.
        plate: uint8 [H, W, 3].
        threads: cores to use.

    Returns:
        A sentence about the parity of the int8 graphs, or why there are none.
    """
    clips = choose_clips(poses)
    save_clips(folder, clips)
    rollout = SubjectClips(clips, style, plate)
    graphs = {name: folder / f"{name}.onnx" for name in ("generator", "face")}
    generator, face = (load_engine(graph, threads=threads) for graph in graphs.values())
    try:
        for graph, inputs in zip(graphs.values(), rollout.record(generator, face), strict=True):
            quantize(graph, inputs)
        found = {
            name: check_parity(
                graphs[name], name=name, backend="openvino", precision="int8", threads=threads, rollout=each
            )
            for name, each in rollout.rollouts(generator, face).items()
        }
    except UserError as error:
        for graph in graphs.values():
            for file in (int8_graph(graph), int8_graph(graph).with_suffix(".bin")):
                file.unlink(missing_ok=True)
        return f"No int8: {error}"
    return "int8 holds: the worst frame of a chain is " + " and ".join(
        f"{parity.chain_db:.1f} dB ({name})" for name, parity in found.items()
    )
