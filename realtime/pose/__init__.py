"""From a picture to a pose to a stick figure; the trainer and the live loop both import this."""
