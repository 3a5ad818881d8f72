"""Run networks: arrays in, arrays out. Knows nothing of dancing."""
