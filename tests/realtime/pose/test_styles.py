"""The styles of figures: their pixels, and the choice of one."""

import hashlib

import pytest

from engines.errors import UserError
from realtime.pose.figure.styles import load_style
from tests.support.standing_pose import varied


@pytest.mark.parametrize(
    ("name", "size_px", "digest"),
    [
        ("limbs", 384, "41da531895848160757a3475ad5bd75cd5d29eb5618911e39ed94346564ea98d"),
        ("limbs", 512, "9fe64fb9a3719308c4d207ccadde6efbdd755ca334c56ad5d1fdb87535819bed"),
        ("edn", 384, "36afe22816df83dac70c9655eda976d0111ebea362f4ca7ca565131ebecee88a"),
        ("edn", 512, "6c7640644c90f602e15b05dd919606416b7879743a29667fb30f37d8ae926c2f"),
    ],
)
def test_version_1_never_changes_a_pixel(name: str, size_px: int, digest: str) -> None:
    style = load_style(name)
    assert style.version == 1, "pin the new version's pixels"
    assert hashlib.sha256(style.draw(varied(size_px), size_px, size_px).tobytes()).hexdigest() == digest


def test_styles_are_chosen_by_name_and_version() -> None:
    for name in ("limbs", "edn"):
        style = load_style(name)
        assert load_style(name, style.version) == style
        assert (style.draw(None, 32, 64) == style.blank).all()
    with pytest.raises(UserError, match=r"'crayon'.*limbs and edn"):
        load_style("crayon")
    with pytest.raises(UserError, match=r"limbs are wanted in version 7.*version 1.*train again"):
        load_style("limbs", 7)
