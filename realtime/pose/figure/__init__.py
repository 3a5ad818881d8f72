"""Stick figures: the generator's view of a pose, in the project's style and in the paper's."""
