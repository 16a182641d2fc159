"""Which port a part of the stack listens on: the one that was set, else the remembered one, else any free one."""

import socket
from collections.abc import Collection

from services.domain.errors import PortInUse, StartFailed

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True when nothing listens there; raises StartFailed when this machine has no such address."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartFailed(f"{host!r} is not an address of this machine; set NIGHTJAR_SERVE__HOST to one.") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as trial:
        # Connections of an earlier run that linger in TIME_WAIT don't count; a listener does, even one that shares.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError:
            return False
    return True


def any_free(taken: Collection[int] = ()) -> int:
    """A port that was free on the loopback address a moment ago, and is none of those taken."""
    while True:
        with socket.socket() as trial:
            trial.bind((LOOPBACK, 0))
            port: int = trial.getsockname()[1]
        if port not in taken:
            return port


def choose(
    setting: str, wanted: int, *, remembered: int | None = None, taken: Collection[int] = (), host: str = LOOPBACK
) -> int:
    """The port to use; raises PortInUse naming the setting to change when the wanted one (not 0) cannot be had."""
    if wanted:
        if wanted in taken or not is_free(wanted, host):
            raise PortInUse(f"Port {wanted} is in use by another program; set {setting} to another one.")
        return wanted
    if remembered and remembered not in taken and is_free(remembered, host):
        return remembered
    return any_free(taken)
