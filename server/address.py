"""Addresses to listen on: whether they can be used, found out before anything is loaded."""

import errno
import ipaddress
import socket


class ListenError(OSError):
    """The address cannot be used; the message is one sentence that says what to do."""


def check_address(host: str, port: int) -> None:
    """See that the address can be listened on now.

    Raises:
        ListenError: it cannot.
    """
    check_port("--port", port)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except UnicodeError as problem:  # a name that DNS cannot spell
        raise ListenError(f"{host} is no address of this machine: choose another with --host.") from problem
    except OSError as problem:
        raise ListenError(why_not(problem, host, port)) from problem


def check_port(option: str, port: int) -> None:
    """See that it is a port's number; `option` gave it.

    Raises:
        ListenError: it is none.
    """
    if not 0 <= port <= 65535:
        raise ListenError(f"{option} must be from 0 to 65535, not {port}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ip_address(name: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def own_names(host: str) -> set[str]:
    """The names under which others reach a server that listens there; none if nobody else can."""
    name = socket.gethostname().lower()
    return set() if is_loopback(host) else {host.lower(), name, f"{name}.local"}


def page_hosts(host: str) -> list[str]:
    """Where a browser finds a server that listens at `host`, this machine's first; it may stand for all addresses."""
    if host == "::":
        return ["::1", *_lan_addresses(socket.AF_INET6, "2001:db8::1")]
    if host in ("", "0.0.0.0"):  # noqa: S104 - compared
        return ["127.0.0.1", *_lan_addresses(socket.AF_INET, "192.0.2.1")]
    return [host]


def page_urls(host: str, port: int, scheme: str = "http") -> list[str]:
    """Addresses that a browser can open, of `page_hosts`."""
    return [f"{scheme}://{f'[{each}]' if ':' in each else each}:{port}/" for each in page_hosts(host)]


def _lan_addresses(family: socket.AddressFamily, nobody: str) -> list[str]:
    """The address from which this machine reaches others, if it has a network; nothing is sent to find out.

    `nobody` is an address for documentation (RFC 5737, RFC 3849).
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((nobody, 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


def why_not(problem: OSError, host: str, port: int, *, option: str = "--port") -> str:
    """What is wrong with an address, and what to do; `option` gave the port."""
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: stop the other program or choose another port with {option}."
    if problem.errno == errno.EACCES:
        return f"Port {port} on {host} needs special rights: choose one above 1023 with {option}."
    if problem.errno == errno.EADDRNOTAVAIL or isinstance(problem, socket.gaierror):
        return f"{host} is no address of this machine: choose another with --host."
    return f"Port {port} on {host} cannot be listened on: {problem.strerror or problem}."
