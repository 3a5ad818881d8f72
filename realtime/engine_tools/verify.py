"""`engines verify`: the checks of `engines.verify` on a subject's networks, on one backend of this machine."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from engines.backends import BACKENDS, Auto, BackendName, Precision, known_backend
from engines.choose import Choice
from engines.engine import Bytes, Engine
from engines.errors import UserError
from engines.load import has_windows, load_engine
from engines.parity import CHAIN_FLOORS_DB, RecordingEngine, only_output, psnr_db
from engines.recurrent import MovingEngine
from engines.values import Inline, SubjectArgument
from engines.verify import Check, ReferenceFrames, VerifyConfig, verify, verify_once
from engines.windowed import WindowedEngine
from realtime.frame import Rgb
from realtime.patches import PATCH, pixels_of, to_patches
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.pose import Pose
from realtime.render import crop_head, reference_picture
from realtime.subject import Subject, load_subject
from realtime.subject_clips import SubjectClips
from realtime.subject_engines import EngineConfig, check_threads, load_generator
from realtime.window import PAINT_LEVELS

WINDOW_FLOOR_DB = 38.0
"""Least PSNR of the clips in windows against the same clips whole, over all pixels in windows."""
FACES = 8
"""Heads on which the face network is compared."""


def verify_subject(
    subject: SubjectArgument = "alice",
    /,
    backend: BackendName = "tensorrt",
    precision: Auto | Precision = "auto",
    threads: int = EngineConfig.threads,
    config: Annotated[VerifyConfig, Inline] = VerifyConfig(),
    json: bool = False,
) -> None:
    """Check parity, latency, memory and endurance of a subject's networks here. Exits with 1 if a check fails.

    Args:
        subject: whose networks: a name, or the path of a subject's folder.
        backend: what runs them.
        precision: its arithmetic; auto is the backend's fastest.
        threads: cores that one run may use.
        config: how long to check.
        json: print one line of JSON only.
    """
    choice = _chosen(backend, precision)
    check_threads(threads)
    played = load_subject(subject)
    checks = []
    table = Table("check", "", "metrics", title=f"{played.manifest.name} on {backend}")
    for check in check_subject(played, choice, threads, config):
        checks.append(check)
        metrics = "  ".join(f"{name} {value}" for name, value in check.metrics.items())
        table.add_row(check.name, "ok" if check.passed else "FAILED", metrics)
    if not json:
        Console().print(table)
    passed = all(check.passed for check in checks)
    print(msgspec.json.encode({"backend": backend, "passed": passed, "checks": checks}).decode())
    if not passed:
        sys.exit(1)


def _chosen(backend: BackendName, precision: Auto | Precision) -> Choice:
    offered = known_backend(backend).precisions
    chosen = offered[0] if precision == "auto" else precision
    if chosen not in offered:
        raise UserError(f"--precision must be one of {', '.join(offered)} for {backend}, not {precision}.")
    return Choice(backend, chosen)


def check_subject(subject: Subject, choice: Choice, threads: int, config: VerifyConfig) -> Iterator[Check]:
    """All checks of a subject's networks on one backend, one after the other.

    Args:
        subject: whose networks.
        choice: what runs them.
        threads: cores that one run may use, also of what they are compared with.
        config: how long to check.

    Raises:
        UserError: they do not load there, or there is nothing to compare them with.
    """
    backend, precision = choice
    if known_backend(backend).device == "cuda":
        from engines.nvidia.load import describe_gpu

        yield Check(name="device", passed=True, metrics=describe_gpu(backend))
    for name in ("build and load", "load again"):
        begun_at_s = time.perf_counter()
        generator, *faces = (choice.load(graph, threads) for graph in subject.graphs)
        yield Check(name=name, passed=True, metrics={"s": round(time.perf_counter() - begun_at_s, 2)})
    other = _reference_backend(backend)
    clips = SubjectClips.of(subject)
    reference, poses = load_engine(subject.generator, backend=other, threads=threads), clips.poses
    if subject.atlas:
        frames, picture = _recorded_frames(clips, reference), reference_picture(subject.plate)
    else:
        frames, picture = _figure_frames(subject, poses), only_output
    yield from verify(generator, reference, frames, precision=precision, config=config, picture=picture)
    if subject.atlas and isinstance(generator, MovingEngine):
        yield check_moving(clips, generator, precision)
    yield from _verify_windows(subject, choice, threads, generator, clips)
    for face, graph in zip(faces, subject.graphs[1:], strict=True):
        inputs = _face_inputs(subject, poses, face.inputs["packed"].shape[1] * PATCH)
        reference = load_engine(graph, backend=other, threads=threads)
        yield verify_once("face", face, reference, inputs, precision=precision)


def check_moving(clips: SubjectClips, generator: MovingEngine, precision: Precision) -> Check:
    """Whether a chain that moves its past on the device shows what one does that moves it on the host."""
    on_host = list(clips.play(RecordingEngine(generator, every=len(clips.poses))))  # which has no device to be seen
    worst_db = min(map(psnr_db, on_host, clips.play(generator)))
    floor_db = CHAIN_FLOORS_DB[precision]
    metrics = {"worst_db": round(worst_db, 3), "floor_db": floor_db, "frames": float(len(on_host))}
    return Check(name="past moved on the device as on the host", passed=worst_db >= floor_db, metrics=metrics)


def _verify_windows(
    subject: Subject, choice: Choice, threads: int, whole: Engine, clips: SubjectClips
) -> Iterator[Check]:
    """The clips in windows beside the whole picture; nothing where graph, backend or picture have no windows."""
    if not has_windows(subject.generator, *choice):
        return
    windowed = load_generator(subject, choice, threads)
    if not isinstance(windowed, WindowedEngine):
        return
    windowed.wait()
    found, expected, shares, lost = list[Rgb](), list[Rgb](), list[float](), 0
    for pair in zip(clips.play(windowed), clips.play(whole), strict=True):
        rows, columns = window = pixels_of(windowed.box)
        for pictures, picture in zip((found, expected), pair, strict=True):
            pictures.append(picture[window].reshape(-1, 3))
        shares.append((rows.stop - rows.start) * (columns.stop - columns.start) / subject.plate[..., 0].size)
        beside = cv2.absdiff(pair[1], subject.plate).max(axis=2) > PAINT_LEVELS
        beside[window] = False
        lost += int(beside.sum())
    inside_db = psnr_db(np.concatenate(found), np.concatenate(expected))
    metrics = {"inside_db": round(inside_db, 3), "share": round(float(np.mean(shares)), 3), "lost_px": float(lost)}
    yield Check(name="windows as the whole picture", passed=inside_db >= WINDOW_FLOOR_DB, metrics=metrics)


def _reference_backend(backend: BackendName) -> BackendName:
    """The fastest other backend that computes in f32 on the processor."""
    exact = (name for name, known in BACKENDS.items() if known.device == "cpu" and "f32" in known.precisions)
    others = [name for name in exact if name != backend and BACKENDS[name].installed]
    if not others:
        raise UserError(f"Nothing to compare {backend} with: {BACKENDS['onnxruntime'].install}.")
    return others[0]


def _recorded_frames(clips: SubjectClips, reference: Engine) -> ReferenceFrames:
    """All that a generator with references sees in the clips; its past is a part of that."""
    recording = RecordingEngine(reference)
    for _ in clips.play(recording):
        pass
    (output,) = reference.outputs.values()
    return ReferenceFrames(
        inputs=recording.recorded, previous_input=recording.recorded[0], previous_output=np.zeros_like(output)
    )


def _figure_frames(subject: Subject, poses: Sequence[Pose | None]) -> ReferenceFrames:
    """The clips' figures, from an empty one over the plate."""
    figures = [to_patches(subject.style.draw(pose, *subject.plate.shape[:2]))[None] for pose in poses]
    blank = np.full_like(figures[0], subject.style.blank)
    return ReferenceFrames(inputs=figures, previous_input=blank, previous_output=to_patches(subject.plate)[None])


def _face_inputs(subject: Subject, poses: Sequence[Pose | None], side_px: int) -> list[Bytes]:
    """Inputs of the face network: figures of heads over the empty plate, uint8 [1, F/4, F/4, 96] each."""
    height, width = subject.plate.shape[:2]
    heads: list[tuple[Pose | None, HeadBox]] = [(pose, head) for pose in poses if pose and (head := head_box(pose))]
    packed = []
    for pose, head in heads[:FACES] or [(None, HeadBox(width / 2, height / 4, height / 8))]:
        pictures = (subject.style.draw(pose, height, width), subject.plate)
        crops = [to_patches(crop_head(picture, head, side_px)) for picture in pictures]
        packed.append(np.concatenate(crops, axis=-1)[None])
    return packed
