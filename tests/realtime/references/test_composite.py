"""Parts moved and laid over the room, against a slow twin, and the past moved along the limbs."""

import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.measure import middle
from realtime.pose.pose import Floats, Pose
from realtime.references.bones import PART_BONES, REACH, far_first, limbs_of
from realtime.references.choose import Chooser, ChosenReference
from realtime.references.composite import FADES_FROM, Compositor, PastMover, around
from realtime.references.limb_frames import LimbFrames, Window, offsets
from realtime.references.transfer import transfer
from tests.support.footage_files import textured
from tests.support.references import SIZE_PX, WIDTHS, dancer, toy_atlas

WHOLE = Window(0, 0, SIZE_PX, SIZE_PX)
ROOM = textured(SIZE_PX, SIZE_PX)
POSE, OTHER = dancer(x=5, raised_px=16), dancer()


def placed(pose: Pose, window: Window = WHOLE, step_px: int = 4) -> LimbFrames:
    frames = LimbFrames(window, step_px)
    frames.place(limbs_of(pose, WIDTHS))
    return frames


def chosen(pose: Pose) -> dict[str, ChosenReference]:
    return Chooser(toy_atlas([(0, OTHER)])).step(limbs_of(pose, WIDTHS))


def twin(room: Rgb, pose: Pose, choices: dict[str, ChosenReference]) -> Floats:
    """The same at every pixel, in floats, no boxes."""
    limbs, frames = limbs_of(pose, WIDTHS), placed(pose, Window(0, 0, *room.shape[1::-1]), step_px=1)
    y, x = np.mgrid[: room.shape[0], : room.shape[1]].astype(np.float32)
    picture = room.astype(np.float32)
    for part in far_first(limbs):
        bones, source = PART_BONES[part], choices[part].reference
        maps = dict(zip(bones.tolist(), transfer(limbs, source.limbs, bones), strict=True))
        way, total, shows = np.zeros((*x.shape, 2)), np.full(x.shape, 1e-9), np.zeros(x.shape)
        for field in (field for field in frames.fields if field.bone in maps):
            weight = field.member**2
            way[field.box] += weight[..., None] * np.stack(offsets(field, maps[field.bone]), axis=2)
            total[field.box] += weight
            most = REACH[field.bone] ** 2
            part_shows = np.clip((most - field.square) / (most * (1 - FADES_FROM**2)), 0, 1)
            shows[field.box] = np.maximum(shows[field.box], part_shows)
        dx, dy = np.moveaxis((way / total[..., None]).astype(np.float32), 2, 0)
        moved = cv2.remap(source.picture.astype(np.float32), x + dx, y + dy, cv2.INTER_LINEAR)
        moved = np.asarray(moved * shows[..., None], np.float32)
        picture = np.asarray(picture * (1 - moved[..., 3:] / 255) + moved[..., :3], np.float32)
    return picture


def test_the_composite_is_that_of_the_twin() -> None:
    room = textured(512, 512)
    pose, other = dancer(x=5, raised_px=16, scale=4), dancer(scale=4)
    choices = Chooser(toy_atlas([(0, other)], 512)).step(limbs_of(pose, WIDTHS))
    frames = placed(pose, Window(0, 0, 512, 512))
    picture = Compositor(room, Window(0, 0, 512, 512)).compose(frames, choices)
    away = np.abs(picture - twin(room, pose, choices)).max(axis=2)[64:480, 128:400]
    # Where parts fade out they do so at a quarter of the resolution, so outlines differ; nothing else does.
    assert np.median(away) <= 2
    assert np.quantile(away, 0.95) <= 12


def test_a_reference_in_its_own_pose_stays_as_it_is() -> None:
    choices = chosen(OTHER)
    picture = Compositor(ROOM, WHOLE).compose(placed(OTHER), choices)
    x, y = (int(value) for value in (middle(OTHER, "hip") + middle(OTHER, "shoulder")) / 2)
    reference = choices["torso"].reference.picture
    np.testing.assert_allclose(picture[y, x], reference[y, x, :3], atol=2)


def test_nobody_leaves_the_room() -> None:
    frames = LimbFrames(WHOLE)
    np.testing.assert_array_equal(Compositor(ROOM, WHOLE).compose(frames, {}), ROOM)


def test_a_window_shows_that_part_of_the_whole() -> None:
    window = Window(44, 24, 48, 64)
    choices = chosen(POSE)
    part = Compositor(ROOM, window).compose(placed(POSE, window), choices)
    whole = Compositor(ROOM, WHOLE).compose(placed(POSE), choices)[24:88, 44:92]
    np.testing.assert_array_equal(part[2:-2, 2:-2], whole[2:-2, 2:-2])


def test_half_way_both_references_show() -> None:
    choices = chosen(POSE)
    (first,) = {id(choice.reference): choice.reference for choice in choices.values()}.values()
    other = toy_atlas([(0, OTHER), (9, OTHER)]).references["torso"][1]
    ways = ChosenReference(first, 1.0, None), ChosenReference(other, 1.0, None), ChosenReference(other, 0.5, first)
    pictures = [Compositor(ROOM, WHOLE).compose(placed(POSE), dict.fromkeys(choices, way)) for way in ways]
    one, two, mixed = (picture.astype(int) for picture in pictures)
    x, y = (int(value) for value in POSE.at("left_hip"))
    np.testing.assert_allclose(mixed[y, x], (one[y, x] + two[y, x]) / 2, atol=3)


def test_the_past_is_moved_along_the_limbs() -> None:
    now, before = dancer(x=8), dancer()
    frames = placed(now)
    flow = np.empty((*frames.shape, 2), np.float32)
    frames.flow(limbs_of(before, WIDTHS), flow)
    moved = PastMover(ROOM.shape[:2]).move(ROOM, flow, around(frames.fields))
    x, y = (int(value) for value in now.at("left_elbow"))
    np.testing.assert_allclose(moved[y, x], ROOM[y, x - 8], atol=2)
    np.testing.assert_array_equal(moved[:, :16], ROOM[:, :16])
