"""References: kept in a file, built from footage, chosen for a pose without popping."""

from pathlib import Path

import numpy as np
import pytest

from engines.errors import UserError
from realtime.references.atlas import Atlas, load_atlas
from realtime.references.bones import PARTS, limbs_of
from realtime.references.choose import FADE_FRAMES, Chooser
from realtime.references.inputs import ReferenceInputs
from tests.support.references import SIZE_PX, WIDTHS, dancer, toy_atlas
from trainer.footage.atlas import build_atlas, spread
from trainer.footage.prepared import Footage

LOW, HIGH = dancer(), dancer(raised_px=30)
ARM = "left_arm"


def test_an_atlas_survives_its_file(tmp_path: Path) -> None:
    atlas = toy_atlas([(3, LOW), (70, HIGH)])
    atlas.save(tmp_path / "atlas.npz")
    loaded = load_atlas(tmp_path / "atlas.npz")
    assert loaded.size_px == (SIZE_PX, SIZE_PX)
    np.testing.assert_array_equal(loaded.widths, atlas.widths)
    for part in PARTS:
        np.testing.assert_allclose(loaded.descriptors[part], atlas.descriptors[part], atol=0.01)
        for row, kept in zip(atlas.references[part], loaded.references[part], strict=True):
            assert (kept.frame, kept.corner) == (row.frame, row.corner)
            np.testing.assert_array_equal(kept.picture, row.picture)


def test_what_is_no_atlas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "atlas.npz"
    toy_atlas([(3, LOW)]).save(path)
    whole = path.read_bytes()
    for content in (b"", b"not an archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"atlas.npz is no atlas, or damaged: export or download the subject"):
            load_atlas(path)
    np.savez(path, allow_pickle=False, format=np.array(99))
    with pytest.raises(UserError, match="format 99"):
        load_atlas(path)


def test_the_nearest_reference_is_chosen_and_near_frames_can_be_forbidden() -> None:
    chooser = Chooser(toy_atlas([(3, LOW), (70, HIGH)]))
    limbs = limbs_of(HIGH, WIDTHS)
    assert chooser.step(limbs)[ARM].reference.frame == 70
    chooser.reset()
    assert chooser.step(limbs, frame=60, apart=45)[ARM].reference.frame == 3


def test_a_new_reference_fades_in() -> None:
    chooser = Chooser(toy_atlas([(3, LOW), (70, HIGH)]))
    assert chooser.step(limbs_of(LOW, WIDTHS))[ARM].old is None
    choices = [chooser.step(limbs_of(HIGH, WIDTHS))[ARM] for _ in range(FADE_FRAMES)]
    assert [choice.share for choice in choices] == [(n + 1) / FADE_FRAMES for n in range(FADE_FRAMES)]
    assert all(choice.old is not None and choice.old.frame == 3 for choice in choices[:-1])
    assert choices[-1].old is None


def test_a_reference_that_is_hardly_worse_stays() -> None:
    chooser = Chooser(toy_atlas([(3, LOW), (70, HIGH)]))
    chooser.step(limbs_of(LOW, WIDTHS))
    halfway = limbs_of(dancer(raised_px=15.3), WIDTHS)
    assert chooser.step(halfway)[ARM].reference.frame == 3
    chooser.reset()
    assert chooser.step(halfway)[ARM].reference.frame == 70


def test_spread_covers_the_clusters_and_dislikes_costs() -> None:
    table = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
    chosen = spread(table, np.arange(4) * 100, np.array([1, 0, 1, 0], np.float32), 2, apart=45)
    assert sorted(chosen) == [1, 3]


def test_an_atlas_is_built_from_training_frames_alone(toy_run: Path) -> None:
    footage = Footage(toy_run / "data")
    atlas = build_atlas(footage)
    assert atlas.size_px == (footage.about.width_px, footage.about.height_px)
    for part, rows in atlas.references.items():
        assert rows, part
        assert all(0 <= row.frame < footage.first_held_out for row in rows)
        assert all((row.picture[..., :3] <= row.picture[..., 3:]).all() for row in rows), "colours are times alpha"


def test_a_part_that_the_footage_never_shows_is_left_to_the_network(tmp_path: Path) -> None:
    atlas = toy_atlas([(0, dancer())])
    some = Atlas(atlas.size_px, atlas.widths, {**atlas.references, "left_hand": []})
    some.save(tmp_path / "atlas.npz")
    inputs = ReferenceInputs(load_atlas(tmp_path / "atlas.npz"), np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8))
    picture = inputs.step(dancer()).picture
    whole = ReferenceInputs(atlas, np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)).step(dancer()).picture
    assert picture.any()
    assert not np.array_equal(picture, whole)
