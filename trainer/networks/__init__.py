"""The networks: generators, face networks and discriminators of every preset, and pretrained feature extractors.

B batch, C channels, H W picture height and width, h w = H/4 W/4, 48 channels of a 4x4 patch of RGB pixels, L channels
of limb coordinates. Pictures and figures are [-1, 1] inside of the networks.
"""
