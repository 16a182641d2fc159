"""The entry of one worker process: `python -m services.inference.worker`, started by the supervisor, ended with it."""

import argparse
import os
import socket
import sys
from typing import Final

from services.children.leash import end_with_parent  # cheap, unlike what _serve imports

SWITCH_INTERVAL_S: Final = 0.001


def main(arguments: list[str]) -> int:
    """Serves until told to stop, or until the supervisor is gone; returns the exit code, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="services.inference.worker")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of the socket to the supervisor")
    options = parser.parse_args(arguments)
    end_with_parent()  # even while this process still starts; where the system can't, the channel tells
    # One request is one core's work, as in the encoder; and sums over threads could differ in the last bit (law 2).
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    return _serve(options.host, options.port, socket.socket(fileno=options.channel))


def _serve(host: str, port: int, channel: socket.socket) -> int:
    # Imported late: these take seconds on a busy machine, and a worker must not outlive its parent by them.
    import uvloop

    from services import logs
    from services.domain.errors import InvalidSettings, NightjarError
    from services.inference.serve import serve
    from services.rpc.listening import grpc_address
    from services.settings import load

    # Larger: each time a request needs the interpreter while a model loads, it waits so long. Smaller: more switches.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        settings = load()
        logs.configure(settings.log_level, "inference")
        uvloop.run(serve(settings, grpc_address(host, port), channel))
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
