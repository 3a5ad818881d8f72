"""`engines verify`: whether a subject's networks are right, fast and steady on a backend, on this very machine."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from engines.backends import BACKENDS, BackendName, Precision, known_backend
from engines.errors import UserError
from engines.load import load_engine
from engines.recurrent import Bytes
from engines.verify import Check, ReferenceFrames, VerifyConfig, verify, verify_once
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.pose import Pose
from realtime.render import crop_head, to_patches
from realtime.rollout import RollOut
from realtime.subject import Subject, load_subject

FACES = 8
"""Heads on which the face network is compared."""


def verify_subject(
    subject: Positional[str] = "alice",
    /,
    backend: BackendName = "tensorrt",
    precision: Precision | None = None,
    config: Annotated[VerifyConfig, tyro.conf.arg(name="")] = VerifyConfig(),
    json: bool = False,
) -> None:
    """Run every check that needs the device itself: is it right, fast and steady? Exits with 1 if a check fails.

    Args:
        subject: whose networks: a name, or the path of a subject's folder.
        backend: what runs them.
        precision: its arithmetic; None is the backend's fastest.
        config: how long to look.
        json: print only the last line.
    """
    known = known_backend(backend)
    if precision is not None and precision not in known.precisions:
        raise UserError(f"--precision must be one of {', '.join(known.precisions)} for {backend}, not {precision}.")
    played = load_subject(subject)
    checks = []
    table = Table("check", "", "metrics", title=f"{played.manifest.name} on {backend}")
    for check in _checks(played, backend, precision or known.precisions[0], config):
        checks.append(check)
        metrics = "  ".join(f"{name} {value}" for name, value in check.metrics.items())
        table.add_row(check.name, "ok" if check.passed else "FAILED", metrics)
    if not json:
        Console().print(table)
    passed = all(check.passed for check in checks)
    print(msgspec.json.encode({"backend": backend, "passed": passed, "checks": checks}).decode())
    if not passed:
        sys.exit(1)


def _checks(subject: Subject, backend: BackendName, precision: Precision, config: VerifyConfig) -> Iterator[Check]:
    if known_backend(backend).device == "cuda":
        from engines.nvidia.load import describe_gpu

        yield Check(name="device", passed=True, metrics=describe_gpu(backend))
    for name in ("build and load", "load again"):
        begun_at_s = time.perf_counter()
        generator, face = (
            load_engine(graph, backend=backend, precision=precision) for graph in (subject.generator, subject.face)
        )
        yield Check(name=name, passed=True, metrics={"s": round(time.perf_counter() - begun_at_s, 2)})
    twin = _twin(backend)
    poses = RollOut.of(subject).poses
    yield from verify(
        generator,
        load_engine(subject.generator, backend=twin),
        _material(subject, poses),
        precision=precision,
        config=config,
    )
    faces = _faces(subject, poses, face.inputs["packed"].shape[1] * 4)
    yield verify_once("face", face, load_engine(subject.face, backend=twin), faces, precision=precision)


def _twin(backend: BackendName) -> BackendName:
    """What computes the same in f32 on the processor."""
    names: tuple[BackendName, ...] = ("openvino", "onnxruntime", "torch")
    others = [name for name in names if name != backend and BACKENDS[name].installed]
    if not others:
        raise UserError(f"Nothing to compare {backend} with: {BACKENDS['onnxruntime'].install}.")
    return others[0]


def _material(subject: Subject, poses: Sequence[Pose | None]) -> ReferenceFrames:
    frames = [to_patches(subject.style.draw(pose, *subject.plate.shape[:2]))[None] for pose in poses]
    blank = np.full_like(frames[0], subject.style.blank)
    return ReferenceFrames(frames=frames, blank=blank, first=to_patches(subject.plate)[None])


def _faces(subject: Subject, poses: Sequence[Pose | None], side_px: int) -> list[Bytes]:
    """What the face network sees of somebody who is not painted yet."""
    height, width = subject.plate.shape[:2]
    heads: list[tuple[Pose | None, HeadBox]] = [(pose, head) for pose in poses if pose and (head := head_box(pose))]
    packed = []
    for pose, head in heads[:FACES] or [(None, HeadBox(width / 2, height / 4, height / 8))]:
        pictures = (subject.style.draw(pose, height, width), subject.plate)
        crops = [to_patches(crop_head(picture, head, side_px)) for picture in pictures]
        packed.append(np.concatenate(crops, axis=-1)[None])
    return packed
