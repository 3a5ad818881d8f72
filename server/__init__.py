"""Bring frames to browsers: WHEP, one shared encode, the viewer page. Knows nothing of poses or networks."""
