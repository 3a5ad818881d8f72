"""The end of the process, as seen from threads that Python waits for."""

import threading


def process_ends() -> bool:
    """Whether the main thread has ended, and the process waits for the others.

    Threads that compile are waited for, and ask this between two networks: a process that ends while OpenVINO compiles
    in a thread that nobody waits for is aborted ("terminate called without an active exception").
    """
    return not threading.main_thread().is_alive()
