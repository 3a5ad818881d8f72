"""Pose estimation: a picture in, the pose of one tracked person out."""
