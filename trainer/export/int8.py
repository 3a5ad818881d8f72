"""int8 graphs of a subject's networks: calibrated on its own clips, kept if they are near enough to f32."""

from pathlib import Path

import torch

from engines.backends import int8_graph
from engines.build import check_parity
from engines.errors import UserError
from engines.load import load_engine
from engines.openvino import quantize
from realtime.subject import FACE, GENERATOR
from realtime.subject_clips import SubjectClips, choose_clips, save_clips
from trainer.footage.prepared import Footage


def add_int8(footage: Footage, draft: Path) -> str:
    """Write calibration clips and, beside the networks' graphs, their int8 graphs if they pass the parity gate.

    Returns:
        A sentence about how near the int8 graphs are to the reference, or why there are none.
    """
    threads = torch.get_num_threads()
    clips = choose_clips(footage.poses[: footage.first_held_out])
    save_clips(draft, clips)
    rollout = SubjectClips(clips, footage.style, footage.plate, footage.atlas)
    graphs = {file.stem: file for file in (draft / GENERATOR, draft / FACE) if file.exists()}
    engines = [load_engine(graph, precision="bf16", threads=threads) for graph in graphs.values()]
    try:
        for graph, inputs in zip(graphs.values(), rollout.record(*engines), strict=True):
            quantize(graph, inputs)
        found = {
            name: check_parity(
                graphs[name], name=name, backend="openvino", precision="int8", threads=threads, rollout=each
            )
            for name, each in rollout.rollouts(*engines).items()
        }
    except UserError as error:
        for graph in graphs.values():
            for file in (int8_graph(graph), int8_graph(graph).with_suffix(".bin")):
                file.unlink(missing_ok=True)
        return f"No int8: {error}"
    return "int8 holds: the worst frame of a chain is " + " and ".join(
        f"{parity.chain_db:.1f} dB ({name})" for name, parity in found.items()
    )
