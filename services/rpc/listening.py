"""The port a gRPC server listens on, had for sure or refused with the setting to change."""

import socket

from services.domain.errors import InvalidSettings, PortInUse


def grpc_address(host: str, port: int) -> str:
    """host:port as gRPC wants it, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reserve_port(host: str, port: int, section: str) -> tuple[socket.socket, int]:
    """Binds the port, or a free one for 0, so that only sockets with SO_REUSEPORT of this user can join it.

    section: where both are set, such as "NIGHTJAR_SERVE", for the sentence of an error.

    The socket never listens, so no connection goes to it; keep it open while workers may start. Raises PortInUse, also
    when the program that listens there would share the port with us, and InvalidSettings for a host that is not ours.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidSettings(f"{section}__HOST is {host!r}, which is no address: {error.strerror}.") from error
    family, kind, protocol, _, address = found[0]
    if port:
        # SO_REUSEADDR forgives lingering connections of an earlier run, but no listener, not even one that shares.
        _bind(family, kind, protocol, address, socket.SO_REUSEADDR, section).close()
    reserved = _bind(family, kind, protocol, address, socket.SO_REUSEPORT, section)
    return reserved, int(reserved.getsockname()[1])


def _bind(family: int, kind: int, protocol: int, address: object, option: int, section: str) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        bound.close()
        host, port = address[:2]  # type: ignore[index]
        raise PortInUse(
            f"Nothing can listen on {host} port {port} ({error.strerror}); "
            f"set {section}__PORT to another port, or to 0 for a free one."
        ) from error
    return bound
