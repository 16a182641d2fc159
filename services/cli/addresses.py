"""Where this machine's commands call the two gRPC servers."""

from typing import Final

from services.rpc.listening import grpc_address
from services.settings import GatewaySettings, ServeSettings

WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - addresses to listen on, which nobody can call


def target_of(server: ServeSettings | GatewaySettings) -> str:
    """host:port as gRPC wants it; the loopback address for a server that listens on all."""
    return grpc_address("127.0.0.1" if server.host in WILDCARDS else server.host, server.port)
