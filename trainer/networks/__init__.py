"""The networks of every preset.

B batch, C channels, H W picture height and width, h w = H/4 W/4, P = 48 channels of a 4x4 patch of RGB pixels.
Pictures and figures are [-1, 1] inside of the networks.
"""
