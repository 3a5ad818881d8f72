"""The live loop, and the library that the trainer shares with it."""
