"""Train the networks that refine poses, on rendered people."""
