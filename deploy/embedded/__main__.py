"""`python -m deploy.embedded --ready-file PATH`: the supervisor process behind `nightjar up --detach`."""

import argparse
import sys
from pathlib import Path

from deploy.embedded import foreground
from services import interrupts, logs
from services.domain.errors import NightjarError
from services.ready_file import ReadyFile
from services.settings import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True, help="there while all of the stack is ready")
    path: Path = parser.parse_args().ready_file
    interrupts.never_lost()
    try:
        settings = load()
        logs.configure(settings.log_level, "supervisor")
        with ReadyFile(path) as ready:
            foreground.run(settings, on_ready=lambda stack: ready.announce(port=stack.settings.serve.port))
    except NightjarError as error:
        sys.exit(f"nightjar: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
