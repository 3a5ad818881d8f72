"""Turn a few minutes of video of a person into a subject."""
