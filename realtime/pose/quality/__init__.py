"""Quality of pose tracks: metrics, reports, and exact joints to compare with."""
