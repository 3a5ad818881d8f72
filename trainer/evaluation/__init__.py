"""Evaluation of subjects: playback as live, metrics, drift."""
