"""What is said of a library that is missing or broken."""

import pytest

from engines import install
from engines.console import plain_errors
from engines.install import install_line, missing_message


def test_commands_name_where_this_was_installed_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_origin", lambda: "/src/bodydouble")
    monkeypatch.setattr(install, "_pip", lambda: "pip")
    assert install_line("train") == "pip install '/src/bodydouble[train]'"
    assert install_line() == "pip install '/src/bodydouble'"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("torch", "[train]'"),
        ("lightning_fabric.plugins", "lightning_fabric is not installed"),
        ("onnxruntime", "[onnxruntime]'"),
        ("tensorrt_rtx", "[tensorrt-rtx]'"),
        ("aiohttp", "aiohttp is not installed"),
        ("pythonosc", "pythonosc is not installed"),
        ("yarl", "yarl is not installed"),
    ],
)
def test_a_missing_library_is_one_sentence(module: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, plain_errors("trainer"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert "install '" in said
    assert ("[" in said) == (module not in ("aiohttp", "pythonosc", "yarl"))


def test_opencv_without_its_libraries() -> None:
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")
    assert "opencv-python-headless" in (missing_message(error) or "")
    other = ImportError("libfoo.so.3: cannot open shared object file", name="av._core")
    assert "--force-reinstall av" in (missing_message(other) or "")


def test_a_fault_of_ours_stays_one() -> None:
    assert missing_message(ModuleNotFoundError("No module named 'engines.wheel'", name="engines.wheel")) is None
    assert missing_message(ImportError("cannot import name 'x' from 'y'", name="y")) is None
