"""Footage: scan and analyse a video, prepare it for training, and read what was prepared."""
