"""The arrows of the design: which package may import which, and what must never be imported to play."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARROWS = {
    "engines": set(),
    "server": set(),
    "realtime": {"engines", "server"},
    "trainer": {"engines", "realtime"},
}
APPLICATION = (
    "realtime.__main__",
    "realtime.bench_tools",
    "realtime.cli",
    "realtime.engine_tools",
    "realtime.live",
    "realtime.pose_tools",
)
"""Parts of realtime that training has no use for; the rest is the library that both share."""
TRAINER_LEVELS = ({"footage", "networks"}, {"training", "evaluation"}, {"export", "detector"}, {"refiner"})
"""The folders of trainer: each imports lower levels only."""
TRAINER_COMMANDS = {"__main__", "baseline", "cli", "evaluate_cli", "fit", "paper_step", "run"}
"""The modules of trainer that stand above all its folders; the others stand below."""
HEAVY = (
    "torch",
    "onnx",
    "cuda",
    "lightning_fabric",
    "tensorboard",
    "tensorrt",
    "tensorrt_rtx",
    "torch_tensorrt",
    "mediapipe",
    "nncf",
    "openvino_telemetry",
    "pyvirtualcam",
    "sounddevice",
    "c2pa",
)
HOMES = {
    "openvino": {"engines/openvino.py"},
    "onnx": {
        "engines/torch_eager.py",
        "engines/onnx_check.py",
        "engines/onnx_window.py",
        "engines/nvidia/onnx_precision.py",
        "trainer/export/onnx.py",
    },
    "cuda": {"engines/nvidia/cuda.py"},
    "tensorrt": {"engines/nvidia/tensorrt.py"},
    "tensorrt_rtx": {"engines/nvidia/tensorrt_rtx.py"},
    "torch_tensorrt": {"engines/nvidia/torch_engine.py"},
    "nncf": {"engines/openvino.py"},
    "onnxruntime": {"engines/onnxruntime.py"},
    "lightning_fabric": {"trainer/training/distributed.py"},
    "tensorboard": {"trainer/training/training_log.py"},
    "torch.utils.tensorboard": {"trainer/training/training_log.py"},
    "playwright": {"realtime/bench_tools/chromium.py"},
    "pyvirtualcam": {"realtime/live/virtual_camera.py"},
    "sounddevice": {"realtime/live/microphone.py"},
    "c2pa": {"realtime/live/content_credentials.py"},
    "mediapipe": {"realtime/pose/estimation/mediapipe.py", "realtime/pose_tools/holistic_worker.py"},
}

NAMED_IN_STRINGS = {
    ("realtime/engine_tools/cli.py", "trainer.baseline"),
    ("realtime/bench_tools/usual.py", "trainer.paper_step"),
}
"""What is run by `python -m` in a process of its own: benches compare with the paper's networks, in torch."""


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def files() -> list[Path]:
    return [path for package in ARROWS for path in (ROOT / package).rglob("*.py")]


def test_packages_import_only_downwards() -> None:
    for path in files():
        package = path.relative_to(ROOT).parts[0]
        ours = {name.split(".")[0] for name in imports(path)} & ARROWS.keys()
        assert ours <= ARROWS[package] | {package}, path


def is_application(module: str) -> bool:
    return f"{module}.".startswith(tuple(f"{part}." for part in APPLICATION))


def test_trainer_imports_only_the_library_of_realtime() -> None:
    for path in (ROOT / "trainer").rglob("*.py"):
        for name in imports(path):
            assert not is_application(name), f"{path} imports {name}"


def test_the_library_of_realtime_imports_neither_its_application_nor_the_server() -> None:
    for path in (ROOT / "realtime").rglob("*.py"):
        if not is_application(".".join(path.relative_to(ROOT).with_suffix("").parts)):
            for name in imports(path):
                assert not is_application(name), f"{path} imports {name}"
                assert name.split(".")[0] != "server", f"{path} imports {name}"


def test_the_folders_of_trainer_import_only_lower_ones() -> None:
    level = {folder: number for number, folders in enumerate(TRAINER_LEVELS) for folder in folders}
    assert level.keys() == {path.parent.name for path in (ROOT / "trainer").glob("*/__init__.py")}
    for folder, own_level in level.items():
        for path in (ROOT / "trainer" / folder).glob("*.py"):
            for name in imports(path):
                part = name.removeprefix("trainer.").split(".")[0]
                if name.startswith("trainer."):
                    assert part not in TRAINER_COMMANDS, f"{path} imports {name}"
                    assert part == folder or level.get(part, -1) < own_level, f"{path} imports {name}"


def test_reading_prepared_footage_needs_nothing_that_prepares_it() -> None:
    assert not [name for name in imports(ROOT / "trainer/footage/prepared.py") if name.startswith("trainer")]


def test_no_class_name_exists_twice() -> None:
    names = [
        node.name
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(names) == sorted(set(names))


def test_no_string_names_a_module_of_ours() -> None:
    """Arrows that `imports` does not see."""
    pattern = re.compile(rf"({'|'.join(ARROWS)})(\.\w+)+")
    found = {
        (str(path.relative_to(ROOT)), node.value)
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
    }
    assert found == NAMED_IN_STRINGS


def test_modules_have_no_cycles() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): imports(path) for path in files()}
    graph = {name: {other for other in used if other in modules} for name, used in modules.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_optional_dependencies_live_in_one_place() -> None:
    for path in files():
        used = [*imports(path)]
        for name, homes in HOMES.items():
            if str(path.relative_to(ROOT)) not in homes:
                assert not any(f"{each}.".startswith(f"{name}.") for each in used), f"{path} imports {name}"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["bench", "--subject", "alice", "--source", "bob", "--seconds", "1"]]
)
def test_playing_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    program = f"""
import sys
from realtime.cli import main
sys.argv = ["realtime", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("heavy:", [name for name in {HEAVY!r} if sys.modules.get(name)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert done.stdout.splitlines()[-1:] == ["heavy: []"], done.stdout + done.stderr
    assert not list(tmp_path.iterdir()), "playing leaves nothing behind, least of all a telemetry identity"
