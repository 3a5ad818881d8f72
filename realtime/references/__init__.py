"""The person in parts: each is taken from a reference picture, moved limb by limb, and laid over the background."""
