"""What keypoints are called in the rig of rendered people, for their exact joints and for training on them."""

_BODY = {
    "shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand", "index": "index_01", "pinky": "pinky_01",
    "hip": "thigh", "knee": "calf", "ankle": "foot", "foot_index": "toe", "eye": "eye", "ear": "ear",
}  # fmt: skip
"""A rig's bone begins where its joint is: the upper arm in the shoulder."""


def rig_name(keypoint: str) -> str:
    """The rig's name of a keypoint of body or hand, e.g. of left_elbow, or left_hand_index_4.

    Raises:
        KeyError: the rig has no such point.
    """
    if keypoint == "nose":
        return keypoint
    side, _, name = keypoint.partition("_")
    if not name.startswith("hand_"):
        return f"{_BODY[name]}_{side[0]}"
    if name == "hand_wrist":
        return f"hand_{side[0]}"
    _, finger, number = name.split("_")
    return f"{finger}_{'tip' if number == '4' else f'0{number}'}_{side[0]}"
