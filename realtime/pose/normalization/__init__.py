"""Pose normalization: the performer's pose mapped into the subject's picture (EDN, section 3.1)."""
