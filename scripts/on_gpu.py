"""Make the most of a GPU for a quarter of an hour: verify and time the engines, train a subject, export it.

    python scripts/on_gpu.py runs/alice --out gpu
    python scripts/on_gpu.py runs/alice --out /tmp/trial --steps 2     # a trial, on any machine

RUN was made by `trainer prepare`; what was last trained in it is what the training begins with. OUT gets

    report.json, report.md   all figures, written again whenever there is a new one
    run/                     the training: checkpoints, previews, generator.onnx; `trainer train` goes on with it
    subject/NAME             what `realtime run --subject` plays

Every part is a process of its own with a time limit: what fails or takes too long is reported in a line and does not
end the others. A training whose time is up saves, and what it has reached is exported.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.backends import BACKENDS, FALLBACK_ORDER, BackendName, cpu_name
from engines.choose import Choice
from engines.errors import UserError
from engines.files import write_file
from engines.verify import VerifyConfig, durations_ms
from realtime.engine_tools.verify import check_subject
from realtime.subject import load_subject
from realtime.subject_clips import SubjectClips
from realtime.subject_engines import EngineConfig, load_renderer
from trainer.config import CheckpointConfig, ExportConfig, Machine, TrainConfig
from trainer.export.subject import export_run
from trainer.footage.atlas import ensure_atlas
from trainer.footage.prepared import Footage, load_prepared
from trainer.run import train_run
from trainer.settings import PRESETS, Overrides, write_settings
from trainer.training.body import BodyStage
from trainer.training.checkpoint import Checkpoints
from trainer.training.distributed import Fabric, assemble
from trainer.training.loop import train

Figures = dict[str, Any]
Part = Callable[..., Iterator[Figures]]
"""A part of the work: a function of a module that yields figures as soon as it has them."""

ENGINES_SHARE, TRIAL_SHARE, FINISH_SHARE = 0.2, 0.12, 0.3
"""Of the time: for the engines, to find the batch, and for face network, export and the new subject's engines."""
GRACE_S = 30.0
"""So long a part may take to save when its time is up."""
MARGIN = 0.85
"""Of the steps that fit into the time, so many are planned: starting, validating and saving take some, too."""
UNTIMED_STEPS, TIMED_STEPS = 5, 6
"""Of each batch that is tried; the first steps find their pictures loaded ahead."""
WORTH_IT = 1.05
"""The next batch is tried if the last one trained on so many times as many images a second as the one before."""
BATCHES = (8, 16, 32, 64, 128, 256)
DATA_FILES = ("prepare.json", "frames.mp4", "poses.npz", "plate.png", "atlas.npz")


class Report:
    """The figures of all parts by their names, in `out`."""

    def __init__(self, out: Path) -> None:
        self.parts: dict[str, Figures] = {}
        self._out = out

    def add(self, part: str, figures: Figures) -> None:
        """Print a part's next figures, and write both files."""
        self.parts.setdefault(part, {}).update(figures)
        print(f"{part}: {_words(figures) or 'begins'}", flush=True)
        write_file(self._out / "report.json", json.dumps(self.parts, indent=2).encode() + b"\n")
        write_file(self._out / "report.md", markdown(self.parts).encode())

    def run(self, name: str, limit_s: float, part: Part, *arguments: Any) -> Figures:
        """Run a part in a process of its own, until it ends or its time is up; returns its figures.

        Why it ended too early, if it did, is the figure "failed", one line.
        """
        if limit_s <= 0:
            self.add(name, {"failed": "no time was left"})
            return self.parts[name]
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, part, arguments), name=name)
        self.add(name, {})
        process.start()
        sender.close()
        try:
            ended = self._listen(name, receiver, limit_s)
            if not ended:
                self.add(name, {"failed": f"its {limit_s:.0f} s were up"})
                process.terminate()
                ended = self._listen(name, receiver, GRACE_S)
            process.join(GRACE_S if ended else 0)
            if process.exitcode and "failed" not in self.parts[name]:
                self.add(name, {"failed": f"its process ended with exit code {process.exitcode}"})
        finally:
            process.kill()
            process.join()
        return self.parts[name]

    def _listen(self, name: str, receiver: Connection, limit_s: float) -> bool:
        """Add a part's figures until it ends; whether it did, in time."""
        end_s = time.monotonic() + limit_s
        try:
            while receiver.poll(max(0.0, end_s - time.monotonic())):
                self.add(name, receiver.recv())
        except EOFError:
            return True
        return False


def _work(sender: Connection, part: Part, arguments: Sequence[Any]) -> None:
    try:
        for figures in part(*arguments):
            sender.send(figures)
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        line = (str(error).strip() or "it gives no reason").splitlines()[0]
        sender.send({"failed": line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"})


def describe_machine(choices: Sequence[Choice]) -> Figures:
    """What the figures are measured on, and with."""
    figures: Figures = {"cpu": cpu_name(), "cores": os.cpu_count(), "torch": torch.__version__}
    figures |= {choice.backend: BACKENDS[choice.backend].versions for choice in choices}
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        figures |= {"gpu": gpu.name, "gpu_gib": round(gpu.total_memory / 2**30, 1), "cuda": torch.version.cuda}
    return figures


def try_engine(subject: str, choice: Choice, config: VerifyConfig) -> Iterator[Figures]:
    """Milliseconds of a renderer's step with both networks, from a figure to the picture; then `engines verify`."""
    played = load_subject(subject)
    threads = EngineConfig.threads
    renderer = load_renderer(played, choice, threads)
    figures = [played.figure(pose) for pose in SubjectClips.of(played).poses]
    turns = iter(range(sys.maxsize))
    found_ms = durations_ms(lambda: renderer.step(figures[next(turns) % len(figures)]), config.timed)
    p50, p95, mean = (round(float(value), 2) for value in (*np.percentile(found_ms, (50, 95)), np.mean(found_ms)))
    yield {"p50_ms": p50, "p95_ms": p95, "fps": round(1000 / mean, 1)}
    passed = True
    for check in check_subject(played, choice, threads, config):
        passed &= check.passed
        yield {check.name: {"passed": check.passed, **check.metrics}}
    yield {"passed": passed}


def try_batches(run: Path, config: TrainConfig, batches: Sequence[int]) -> Iterator[Figures]:
    """Train a few steps with each batch until one does not fit into the memory, or is hardly faster than the last."""
    fabric = assemble(Machine(devices=1), *batches)
    last = 0.0
    for batch in batches:
        try:
            tried = _try_batch(run, with_batch(replace(config, warmup_steps=0), batch), fabric)
        except torch.OutOfMemoryError:
            tried = {"failed": "it does not fit into the memory"}
        yield {str(batch): tried}
        if "failed" in tried or tried["images_per_s"] < WORTH_IT * last:
            break
        last = tried["images_per_s"]


def _try_batch(run: Path, config: TrainConfig, fabric: Fabric) -> Figures:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    stage = BodyStage(_footage(run, config), config, fabric)
    try:
        for number in range(UNTIMED_STEPS + TIMED_STEPS):
            if number == UNTIMED_STEPS:
                began_s = time.perf_counter()
            stage.step()
    finally:
        stage.close()
    step_s = (time.perf_counter() - began_s) / TIMED_STEPS
    return {"step_s": round(step_s, 4), "images_per_s": round(stage.pictures_per_step / step_s, 1), **_peak()}


def train_body(run: Path, config: TrainConfig, start: Path, checkpointing: CheckpointConfig) -> Iterator[Figures]:
    """Train the body's generator in `run`, beginning with the newest weights of the run `start`, if there are any."""
    write_settings(run / "config.json", config)
    fabric = assemble(Machine(devices=1), config.batch)
    stage = BodyStage(_footage(run, config), config, fabric)
    known = Checkpoints(start / "checkpoints", stage.name).newest()
    if known is not None:
        yield {"begins_at_step": known["step"], "tensors_that_fit": stage.initialize_from(known)}
    elif config.pretrained:
        stage.initialize_pretrained()
    began_s = time.perf_counter()
    train(stage, run, fabric, checkpointing)
    trained_s = time.perf_counter() - began_s
    yield {"steps": stage.step_number, "of": config.steps, "batch": config.batch, **_peak()}
    yield {"seconds": round(trained_s, 1), "steps_per_s": round(stage.step_number / trained_s, 3)}
    yield read_log(run / "body.jsonl")


def finish(run: Path, config: TrainConfig, folder: Path, checkpointing: CheckpointConfig) -> Iterator[Figures]:
    """Train the face network on what the body's generator renders, and export the subject."""
    body = Checkpoints(run / "checkpoints", "body").newest()
    if body is None:
        raise UserError("The body's generator has not been trained.")
    config = replace(config, steps=body["step"])  # fewer than planned if its time was up
    write_settings(run / "config.json", config)
    if not train_run(run, config, machine=Machine(devices=1), checkpointing=checkpointing):
        raise UserError(f"The face network is not trained to its end: `trainer train {run}` goes on.")
    if config.face_steps:
        yield {"face_steps": config.face_steps, **read_log(run / "face.jsonl")}
    export_run(run, ExportConfig(name=folder.name, out=folder.parent))
    yield {"subject": str(folder), "mb": _size_mb(folder.iterdir())}


def with_batch(config: TrainConfig, batch: int) -> TrainConfig:
    """The same with another batch, as many crops for it, and chains enough to take turns."""
    crops = max(1, batch * config.crops // config.batch)
    return replace(config, batch=batch, crops=crops, chains=max(2 * batch, config.chains))


def read_log(path: Path) -> Figures:
    """The validations and the last losses of a stage."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    keys = "step", "chain_first_db", "chain_db", "chain_distance"
    shown = [{key: round(row[key], 4) for key in keys} for row in rows if keys[-1] in row]
    return {"validations": shown, "losses": {name: round(value, 4) for name, value in rows[-1].items()}}


def markdown(parts: Mapping[str, Figures]) -> str:
    """The report for people: a line for each part, then tables."""
    lines = ["# A quarter of an hour on a GPU", ""]
    engines, validations = list[Figures](), list[Figures]()
    for part, figures in parts.items():
        plain = {name: value for name, value in figures.items() if not isinstance(value, dict | list)}
        lines.append(f"- {part}: {_words(plain)}")
        if "fps" in plain:
            engines.append({"engine": part, **plain})
        validations += [{"stage": part, **row} for row in figures.get("validations", [])]
    batches = [{"batch": batch, **row} for batch, row in parts.get("batches", {}).items() if isinstance(row, dict)]
    lines += _table(("engine", "passed", "p50_ms", "p95_ms", "fps"), engines)
    lines += _table(("batch", "step_s", "images_per_s", "peak_gib", "failed"), batches)
    lines += _table(("stage", "step", "chain_first_db", "chain_db", "chain_distance"), validations)
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Figures]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    return ["", *(f"| {' | '.join(row)} |" for row in cells)] if rows else []


def _words(figures: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} ({_words(value)})" if isinstance(value, dict) else f"{name} {value}" for name, value in figures.items()
    )


def _footage(run: Path, config: TrainConfig) -> Footage:
    return Footage(run / "data", background=config.background, references=config.references)


def _peak() -> Figures:
    """The most memory that was in use: of the GPU as torch sees it, or of this process where there is none."""
    if torch.cuda.is_available():
        return {"peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}
    return {"peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}


def _size_mb(files: Iterator[Path]) -> float:
    return round(sum(path.stat().st_size for path in files if path.is_file()) / 1e6, 1)


@dataclass(frozen=True, kw_only=True)
class Work:
    """All parts, in order, and their time."""

    report: Report
    run: Path
    """The prepared one."""
    out: Path
    name: str
    config: TrainConfig
    steps: int | None
    choices: Sequence[Choice]
    end_s: float
    """Of the monotonic clock."""
    limit_s: float

    def do(self, subject: str) -> None:
        """Everything; `subject` is what the engines are verified with first."""
        report, run, cuda = self.report, self.out / "run", torch.cuda.is_available()
        about = load_prepared(self.run / "data")
        data_mb = _size_mb(self.run / "data" / name for name in DATA_FILES)
        report.add("data", {"mb": data_mb, "frames": about.frames, "size_px": list(about.size_px)})
        report.add("machine", describe_machine(self.choices))
        self.engines(subject, ENGINES_SHARE * self.limit_s)
        run.mkdir()
        (run / "data").symlink_to((self.run / "data").resolve())
        batches = BATCHES if cuda else (self.config.batch,)
        tried = report.run("batches", TRIAL_SHARE * self.limit_s, try_batches, run, self.config, batches)
        config, body_s = self.planned(tried)
        checkpointing = CheckpointConfig(validate_every=max(1, config.steps // 5), save_minutes=1.0, keep=1)
        report.run("body", body_s, train_body, run, config, self.run, checkpointing)
        folder = self.out / "subject" / self.name
        report.run("finish", self.left_s, finish, run, config, folder, checkpointing)
        if folder.exists():
            self.engines(str(folder), self.left_s)

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return max(0.0, self.end_s - time.monotonic())

    def planned(self, tried: Figures) -> tuple[TrainConfig, float]:
        """The training with the batch that was fastest, and as many steps as fit into the seconds for it."""
        body_s = self.left_s - FINISH_SHARE * self.limit_s
        rows = {int(batch): row for batch, row in tried.items() if isinstance(row, dict) and "step_s" in row}
        batch = max(rows, key=lambda each: rows[each]["images_per_s"], default=self.config.batch)
        fitting = max(1, int(MARGIN * body_s / rows[batch]["step_s"])) if rows else self.config.steps
        steps = self.steps or fitting
        face_steps = min(self.config.face_steps, self.steps or self.config.face_steps)
        warmup_steps = min(self.config.warmup_steps, steps // 20)
        chosen = replace(self.config, steps=steps, face_steps=face_steps, warmup_steps=warmup_steps)
        return with_batch(chosen, batch), body_s

    def engines(self, subject: str, limit_s: float) -> None:
        """Verify a subject on every backend, and time its renderer there."""
        end_s, n = time.monotonic() + limit_s, self.steps
        for left, choice in zip(range(len(self.choices), 0, -1), self.choices, strict=True):
            cuda = BACKENDS[choice.backend].device == "cuda"
            timed, steps, long_steps = (n, n, n) if n else (300, 1000, 5000) if cuda else (30, 50, 100)
            config = VerifyConfig(timed=timed, steps=steps, long_steps=long_steps)
            limit_s = (end_s - time.monotonic()) / left
            self.report.run(f"{Path(subject).name} on {choice}", limit_s, try_engine, subject, choice, config)


def usable_choices(names: Sequence[BackendName]) -> list[Choice]:
    """The named backends, or those of the GPU, or where there is none those of the processor; the fastest precision."""
    usable = [each for each in FALLBACK_ORDER if each.usable and (each.name in names or not names)]
    on_gpu = [each for each in usable if each.device == "cuda"]
    chosen = usable if names else on_gpu or [each for each in usable if each.name != "torch"]
    return [Choice(each.name, each.precisions[0]) for each in chosen]


def main() -> None:
    """Read the command line and do everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="made by `trainer prepare`, perhaps trained already")
    parser.add_argument("--out", type=Path, required=True, help="new folder for everything")
    parser.add_argument("--name", help="of the new subject; by default RUN's")
    parser.add_argument("--minutes", type=float, default=12.0, help="for all parts together, 12 by default")
    parser.add_argument("--steps", type=int, help="of the training and of everything that is timed: for a trial")
    parser.add_argument("--preset", choices=PRESETS, default="live", help="of the settings to train with")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one of them")
    parser.add_argument("--subject", default="alice", help="what the engines are verified with before the training")
    parser.add_argument("--backend", action="append", default=[], choices=BACKENDS, help="default: those of the GPU")
    asked = parser.parse_args()
    limit_s, end_s = 60 * asked.minutes, time.monotonic() + 60 * asked.minutes - GRACE_S
    try:
        overrides = Overrides(asked.set)
        about = load_prepared(asked.run / "data")
        config = overrides.apply(PRESETS[asked.preset]).for_footage(about.size_px, static=about.static)
        overrides.check_applied()
        if config.references:
            ensure_atlas(asked.run / "data")
        if asked.out.exists():
            raise UserError(f"{asked.out} is there already: choose another --out.")
    except UserError as error:
        print(f"on_gpu: {error}", file=sys.stderr)
        sys.exit(2)
    asked.out.mkdir(parents=True)
    work = Work(
        report=Report(asked.out),
        run=asked.run,
        out=asked.out,
        name=asked.name or asked.run.resolve().name,
        config=config,
        steps=asked.steps,
        choices=usable_choices(asked.backend),
        end_s=end_s,
        limit_s=limit_s,
    )
    try:
        work.do(asked.subject)
    except KeyboardInterrupt:  # the part that ran has been told, too
        sys.exit(130)


if __name__ == "__main__":
    main()
