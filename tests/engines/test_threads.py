"""The binding of OpenVINO, used by several threads at once, the first ones of a process."""

import subprocess
import sys

PROGRAM = """
import faulthandler, sys
from threading import Barrier, Thread
from engines.openvino import ov

faulthandler.dump_traceback_later(100, exit=True)
sys.setswitchinterval(1e-6)
barrier = Barrier(16)

def ask():
    barrier.wait()
    ov.Type.f32.to_dtype()  # as every network does that is loaded

threads = [Thread(target=ask) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_the_first_networks_may_be_loaded_at_once() -> None:
    for _ in range(6):  # one in two hung
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
