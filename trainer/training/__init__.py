"""Training: stages, losses, data loading, checkpoints and logs."""
