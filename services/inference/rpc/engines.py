"""Which engine carries a worker's calls: grpcio's own HTTP/2, or that of pygrpc-native, in Rust (ADR 0036).

Both give a `grpc.aio.Server`: services, guard and event loop are the same. Nothing else knows which one it is.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from services.domain.errors import MissingDependency

if TYPE_CHECKING:  # the supervisor checks the setting, and needs no gRPC for it
    import grpc

Engine = Literal["grpcio", "native"]

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""As many as 10,000 unwanted items of the longest names take, and room. Larger: memory for a mistake, or an attack."""
_OPTIONS: Final = (("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", MAX_REQUEST_BYTES))


def check(engine: Engine) -> None:
    """Raises MissingDependency when the engine is not installed."""
    if engine == "native" and find_spec("pygrpc_native") is None:
        raise MissingDependency(
            "NIGHTJAR_SERVE__ENGINE=native needs a library: pip install 'nightjar-server[native]'; "
            "or set it to grpcio, which needs none."
        )


def new_server(engine: Engine) -> "grpc.aio.Server":
    """A server without services and port; build it inside the event loop that runs it. Raises MissingDependency."""
    check(engine)
    if engine == "native":
        from services.inference.rpc.native_server import NativeServer

        return NativeServer(options=_OPTIONS)
    import grpc

    return grpc.aio.server(options=_OPTIONS)
