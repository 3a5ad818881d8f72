"""Time the `mediapipe` library's Holistic: a program of its own, which runs in whatever environment has the library.

It imports nothing of ours. Standard input: per chunk a line of JSON [count, height, width], then the pictures' bytes
(RGB). Standard output: a line "ready", then per chunk a line of JSON with seconds: [[wall, ...], [processor, ...]].
"""

import json
import sys
import time

import numpy as np
from mediapipe.python.solutions.holistic import Holistic


def main() -> None:
    """Answer until the input ends."""
    holistic = Holistic(model_complexity=1, smooth_landmarks=False)
    print("ready", flush=True)
    while header := sys.stdin.buffer.readline():
        count, height, width = json.loads(header)
        wall_s, processor_s = [], []
        for _ in range(count):
            data = sys.stdin.buffer.read(height * width * 3)
            rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            begun_at_s, busy_s = time.perf_counter(), time.process_time()
            holistic.process(rgb)
            wall_s.append(time.perf_counter() - begun_at_s)
            processor_s.append(time.process_time() - busy_s)
        print(json.dumps([wall_s, processor_s]), flush=True)


if __name__ == "__main__":
    main()
