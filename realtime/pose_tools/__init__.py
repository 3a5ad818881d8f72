"""`realtime pose` and `realtime bench-pose`: reports about poses, and how fast they are estimated."""
