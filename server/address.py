"""Addresses to listen on: whether they can be used, found out before anything is loaded."""

import errno
import socket


class ListenError(OSError):
    """The address cannot be used; the message is one sentence that says what to do."""


def check_address(host: str, port: int) -> None:
    """See that the address can be listened on now.

    Raises:
        ListenError: it cannot.
    """
    if not 0 <= port <= 65535:
        raise ListenError(f"--port must be from 0 to 65535, not {port}.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as problem:
        raise ListenError(why_not(problem, host, port)) from problem


def why_not(problem: OSError, host: str, port: int) -> str:
    """What is wrong with an address, and what to do."""
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: stop the other program or choose another port with --port."
    if problem.errno == errno.EACCES:
        return f"Port {port} on {host} needs special rights: choose one above 1023 with --port."
    if problem.errno == errno.EADDRNOTAVAIL or isinstance(problem, socket.gaierror):
        return f"{host} is no address of this machine: choose another with --host."
    return f"Port {port} on {host} cannot be listened on: {problem.strerror or problem}."
