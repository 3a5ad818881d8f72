"""Presets, what is changed of them by name, and the files that keep them."""

import json
import tomllib
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from engines.errors import UserError
from tests.support.commands import assert_refused, chosen, command_here
from trainer.config import (
    CHECKPOINT_RANGES,
    NETWORK_RANGES,
    TRAIN_RANGES,
    CheckpointConfig,
    CompactConfig,
    Machine,
    Pix2PixHDConfig,
    PrepareConfig,
    TrainConfig,
)
from trainer.fit import PreparedFrom
from trainer.settings import GPU, LIVE, PRESETS, Overrides, check_settings, list_settings, read_settings, write_settings


def test_values_get_their_types() -> None:
    overrides = Overrides(
        [
            "batch=4",
            "learning_rate=1e-3",
            "references=false",
            "temporal=false",
            "lr_schedule=linear",
            "vgg19=/vgg.pth",
            "devices=2",
            "generator.widths=64, 128,256",
            "chains=8",
        ]
    )
    config, machine = overrides.apply(LIVE), overrides.apply(Machine())
    overrides.check_applied()
    assert config == replace(
        LIVE,
        batch=4,
        chains=8,
        learning_rate=1e-3,
        references=False,
        temporal=False,
        lr_schedule="linear",
        vgg19=Path("/vgg.pth"),
        generator=CompactConfig(widths=(64, 128, 256), blocks=(1, 1, 2)),
    )
    assert machine.devices == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("batch=many", "batch must be a whole number, not 'many'."),
        ("batch=2.5", "batch must be a whole number, not '2.5'."),
        ("temporal=perhaps", "temporal must be true or false, not 'perhaps'."),
        ("lr_schedule=step", "lr_schedule must be cosine or linear, not 'step'."),
        ("face.blocks=1,1", "face.blocks must be 3 whole numbers with commas between, not '1,1'."),
        ("chains=1", "chains must be at least batch, 3, not 1."),
        ("batch=0", "batch must be from 1 to 4096, not 0."),
        ("batch=1000000000", "batch must be from 1 to 4096, not 1000000000."),
        ("steps=1000000000000", "steps must be from 1 to 100000000, not 1000000000000."),
        ("unroll=1", "unroll must be from 2 to 100, not 1."),
        ("seed=-1", "seed must be from 0 to "),
        ("learning_rate=nan", "learning_rate must be from 0 to 1, not nan."),
        ("learning_rate=-1", "learning_rate must be from 0 to 1, not -1.0."),
        ("discriminator_learning_rate=inf", "discriminator_learning_rate must be from 0 to 1, not inf."),
        ("generator.widths=-1,0,0", "generator.widths must be from 1 to 4096, not -1."),
        ("face.blocks=1,-1,1", "face.blocks must be from 0 to 100, not -1."),
        ("keypoint_noise=-1", "keypoint_noise must be from 0 to 1, not -1.0."),
        ("part_dropout=7", "part_dropout must be from 0 to 1, not 7.0."),
        ("view_balance=5", "view_balance must be from 0 to 1, not 5.0."),
        ("ema_decay=1", "ema_decay must be from 0 to 0.999999, not 1.0."),
        ("l1_weight=nan", "l1_weight must be from 0 to 1e+40, not nan."),
        ("vgg19=", "vgg19 must be a path, not ''."),
        ("more_runs=", "more_runs must be a path, or several with commas between, not ''."),
        ("devices=-3", "devices must be auto or at least 1, not -3."),
        ("save_minutes=nan", "save_minutes must be from 0 to 1000000000000, not nan."),
        ("keep=0", "keep must be from 1 to 1000000000000, not 0."),
        ("perceptual_px=8", "perceptual_px must be 0 or at least 16, not 8."),
        ("temporal=false", "references need background and temporal, and no local enhancer: set references to false."),
        ("batch", "--set must be NAME=VALUE, like --set batch=4, not 'batch'."),
        ("face_step=3", "There is no setting 'face_step': did you mean face_steps"),
        ("generator.ngf=3", "There is no setting 'generator.ngf': did you mean generator."),
        ("zzz=3", "There is no setting 'zzz': choose one of steps, coarse_steps, "),
    ],
)
def test_a_wrong_setting_is_told_in_a_sentence(assignment: str, message: str) -> None:
    def settle() -> None:
        overrides = Overrides([assignment])
        overrides.apply(LIVE)
        overrides.apply(Machine())
        overrides.apply(CheckpointConfig())
        overrides.check_applied()

    with pytest.raises(UserError) as error:
        settle()
    assert str(error.value).startswith(message)


def test_every_number_has_a_range() -> None:
    for config, ranges in ((LIVE, TRAIN_RANGES), (CheckpointConfig(), CHECKPOINT_RANGES)):
        numbers = {name for name, value in vars(config).items() if type(value) in (int, float)}
        assert numbers - {"crops"} == ranges.keys(), "crops go by batch"
    for network in (LIVE.generator, GPU.generator):
        assert set(network.__struct_fields__) <= NETWORK_RANGES.keys()


def test_a_wrong_setting_ends_the_command(tmp_path: Path) -> None:
    assert_refused(command_here("trainer", "train", tmp_path, *chosen(bacth=3)), "no setting 'bacth'", "batch")
    recipe = tmp_path / "my.toml"
    recipe.write_text("batch = ")
    assert_refused(command_here("trainer", "train", tmp_path, "--config", recipe), "my.toml is not a TOML file")
    assert_refused(command_here("trainer", "train", tmp_path, "--config", tmp_path / "no.toml"), "no.toml")


def test_options_come_after_assignments_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("steps = 10\nbatch = 4\nseed = 3\n[generator]\nngf = 32\nblocks = 5\n")
    config = Overrides(["batch=2", "steps=20", "steps=30"], file).apply(GPU)
    assert (config.steps, config.batch, config.seed) == (30, 2, 3)
    assert config.generator == Pix2PixHDConfig(ngf=32, blocks=5)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_list_of_settings_is_a_file_for_them(preset: TrainConfig, tmp_path: Path) -> None:
    file = tmp_path / "preset.toml"
    file.write_text(list_settings(preset, Machine(), CheckpointConfig()))
    other = not preset.background
    changed = replace(preset, steps=1, view_balance=0.9, background=other, references=False, lr_schedule="cosine")
    overrides = Overrides([], file)
    assert overrides.apply(changed) == preset
    overrides.apply(Machine())
    overrides.apply(CheckpointConfig())
    overrides.check_applied()
    names = {field.name for kind in (TrainConfig, Machine, CheckpointConfig) for field in fields(kind)}
    assert names - {"vgg19"} == tomllib.loads(file.read_text()).keys()
    assert "# vgg19 = " in file.read_text()


def test_every_choice_of_preparing_is_remembered(tmp_path: Path) -> None:
    config = PrepareConfig(video="films/alice.mp4", openpose=Path("labels/alice"))
    record = PreparedFrom(**{field.name: getattr(config, field.name) for field in fields(config)}, video_bytes=9)
    write_settings(tmp_path / "fit.json", record)
    check_settings(tmp_path / "fit.json", record)
    others: dict[str, Any] = {
        "video": Path("bob.mp4"),
        "size": "256",
        "crop": "0,0,64,64",
        "pose": "mediapipe",
        "openpose": None,
        "figure": "limbs",
        "fps": 25.0,
        "video_bytes": 8,
    }
    assert others.keys() == {field.name for field in fields(PreparedFrom)}
    for name, other in others.items():
        with pytest.raises(UserError, match=rf"other settings, {name} .*, not {other} .*fit\.json"):
            check_settings(tmp_path / "fit.json", replace(record, **{name: other}))
    several = replace(record, video="bob.mp4", size="256", fps=25.0, video_bytes=8)
    with pytest.raises(UserError, match=r"video films/alice.mp4, not bob.mp4; size .*; …"):
        check_settings(tmp_path / "fit.json", several)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": "100"}, "--size must be multiples of 32, .* not 100"),
        ({"size": "32"}, "from 64 to 4096 pixels"),
        ({"size": "100000"}, "from 64 to 4096 pixels, not 100000"),
        ({"size": "big"}, "--size must be like 512 or 1024x512, not 'big'"),
        ({"crop": "1,2,3"}, "--crop must be X,Y,WIDTH,HEIGHT"),
    ],
)
def test_what_cannot_be_prepared(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PrepareConfig(video="v.mp4", **wrong)


def test_settings_that_are_new_are_as_they_were(tmp_path: Path) -> None:
    path, settings = tmp_path / "config.json", replace(LIVE, vgg19=Path("/weights.pth"))
    write_settings(path, settings)
    check_settings(path, settings)
    assert read_settings(path, TrainConfig) == settings
    written = json.loads(path.read_bytes())
    for changed, same in (
        ({name: value for name, value in written.items() if name != "zoom_out"}, True),
        (written | {"zoom_out": 0.5}, False),
        (written | {"unheard_of": 1}, False),
        ({"video": "film.mp4"}, False),
    ):
        path.write_text(json.dumps(changed))
        with nullcontext() if same else pytest.raises(UserError, match=r"other settings.*config\.json"):
            check_settings(path, settings)


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"\xff\0"])
def test_settings_that_cannot_be_read_are_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        check_settings(path, LIVE)
