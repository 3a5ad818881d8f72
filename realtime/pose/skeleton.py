"""The keypoints of a person: their names, order and groups, and where on the body they are.

Body: the 33 landmarks of BlazePose (arXiv 2006.10204). Hands: 21 each, as in OpenPose and MediaPipe (wrist, then thumb
to little finger from the palm outwards). Face: the 70 of OpenPose, that is iBUG's 68 and the two pupils.
Left and right are the person's own, except in the face, where iBUG counts from the right jaw over the chin.

Where they are in skeleton version 2, for exact joints, for training and for drawing alike:
  shoulder, elbow, wrist     the centres of the joints, inside the body: where the upper arm, the forearm and the hand
  hip, knee, ankle           begin to turn; so for thigh, shin and foot
  index, pinky (of a body)   the knuckles at which these fingers begin
  foot_index                 the tip of the toes
  hands                      the wrist, then of every finger its joints (the thumb's first is at the wrist) and its tip
  nose, eye, ear             the tip of the nose, the centre of the eyeball, the auricle
  the rest                   as BlazePose and iBUG have them, on the skin
In version 1 all of them are where BlazePose's networks, or OpenPose's, see them.
"""

UNREFINED, REFINED = 1, 2
"""Skeleton versions: where the keypoints are on the body. A subject is played with those that it was trained with."""

BODY_NAMES = (
    "nose",
    "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
_HAND_NAMES = (
    "wrist",
    *(f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in range(1, 5)),
)
_FACE_PARTS = (
    ("jaw", 17), ("right_brow", 5), ("left_brow", 5), ("nose_bridge", 4), ("nose_base", 5),
    ("right_eye", 6), ("left_eye", 6), ("outer_lip", 12), ("inner_lip", 8), ("right_pupil", 1), ("left_pupil", 1),
)  # fmt: skip

BODY = slice(0, 33)
LEFT_HAND = slice(33, 54)
RIGHT_HAND = slice(54, 75)
FACE = slice(75, 145)
K = 145

NAMES = (
    *BODY_NAMES,
    *(f"left_hand_{name}" for name in _HAND_NAMES),
    *(f"right_hand_{name}" for name in _HAND_NAMES),
    *(f"face_{part}_{i}" for part, count in _FACE_PARTS for i in range(count)),
)
INDEX = {name: i for i, name in enumerate(NAMES)}


def _face_slices() -> dict[str, slice]:
    slices, start = {}, FACE.start
    for part, count in _FACE_PARTS:
        slices[part] = slice(start, start + count)
        start += count
    return slices


FACE_PARTS = _face_slices()
"""Slices of a pose's keypoints by part of the face."""

assert len(NAMES) == len(INDEX) == K
