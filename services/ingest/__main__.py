"""`python -m services.ingest offline|online|catalog`: one writer. SIGTERM stores what is pending, exit 0."""

import argparse
import sys
from pathlib import Path

import structlog

from services import process, settings
from services.domain.errors import NightjarError
from services.ingest.wiring import WriterKind, run_writer
from services.ready_file import ReadyFile

log = structlog.get_logger()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.ingest", description=__doc__)
    parser.add_argument("writer", choices=[kind.value for kind in WriterKind])
    parser.add_argument("--ready-file", type=Path, help="there while the writer is in its consumer group")
    arguments = parser.parse_args()
    try:
        loaded = settings.load()
        process.begin(f"ingest-{arguments.writer}", loaded)
        stop = process.stop_on_signals()
        with ReadyFile(arguments.ready_file) as ready_file:
            run_writer(WriterKind(arguments.writer), loaded, stop, ready_file.announce)
    except NightjarError as error:
        log.error("writer_failed", reason=error.reason.value, error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
