"""What `trainer` offers: a new option is a conscious act; and who of several processes tells of a mistake."""

import pytest

from tests.support.commands import DATA, assert_refused, command
from tests.support.help_text import commands_in, help_of, options_in
from trainer.cli import main
from trainer.config import first_process

TRAIN = ["--config", "--devices", "--preset", "--set", "--steps"]
PREPARE = ["--crop", "--openpose", "--pose", "--size"]
SUBJECT = ["--licence", "--name", "--out", "--person", "--replace"]
ENGINES = ["--backend", "--person", "--pose", "--pose-effort", "--pose-parts", "--precision", "--threads"]
OPTIONS = {
    "fit": [*SUBJECT, *PREPARE, *TRAIN, "--instant", "--run"],
    "prepare": [*PREPARE, "--figure", "--fps", "--only-report", "--out"],
    "train": [*TRAIN, "--start-from"],
    "export": SUBJECT,
    "settings": ["--preset"],
    "evaluate": [
        *(*ENGINES, "--ablation", "--crop", "--driver", "--drift-frames", "--end-s", "--every", "--last-s", "--out"),
        *("--record", "--replace", "--start-s", "--subject", "--video"),
    ],
    "detector": [],
    "detector train": [*ENGINES, "--out", "--real", "--replace", "--subject"],
    "detector run": [*ENGINES, "--model"],
}


@pytest.mark.parametrize("words", OPTIONS)
def test_the_options_of_every_command(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(main, ["trainer", *words.split()], monkeypatch, capsys)
    assert options_in(text) == sorted(OPTIONS[words])
    assert len(OPTIONS[words]) <= 20
    assert text.splitlines()[-1].startswith(f"Example: trainer {words} "), "help ends with an example"


def test_every_command_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(main, ["trainer"], monkeypatch, capsys)
    assert commands_in(text) == {words.split()[0] for words in OPTIONS}
    assert text.splitlines()[-1].startswith("Example: trainer fit ")


def test_one_process_of_each_machine_tells_of_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for ranks, first, on_machine in (
        ({}, True, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True, True),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False, True),
        ({"LOCAL_RANK": "1"}, False, False),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "1"}, False, False),
    ):
        with monkeypatch.context() as environment:
            for name, value in ranks.items():
                environment.setenv(name, value)
            assert (first_process(), first_process(on_machine=True)) == (first, on_machine), ranks


def test_several_processes_do_not_prepare(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = ["trainer", "fit", str(DATA / "alice_clip.mp4"), "--name", "toy", "--run", f"{tmp_path}/run"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(command(*fit), "Several processes", "run this once without")
    monkeypatch.setenv("LOCAL_RANK", "1")
    silent = command(*fit)
    assert (silent.returncode, silent.stderr) == (2, "")
