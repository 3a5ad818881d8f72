"""The smallest training there is."""

from trainer.config import CompactConfig, TrainConfig

SMALL = CompactConfig(widths=(16, 16, 16), blocks=(1, 1, 1))
TRAINING = TrainConfig(
    batch=2,
    chains=4,
    window_px=32,
    perceptual_px=32,
    ndf=8,
    mean_chain_frames=8,
    references=False,
    generator=SMALL,
)
