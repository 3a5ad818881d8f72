"""The `engines` command: build, verify, measure and choose what runs a subject's networks."""
