"""`python -m deploy.embedded --ready-file PATH`: the supervisor process behind `nightjar up --detach`."""

import argparse
import json
import sys
from pathlib import Path

from deploy.embedded import foreground
from deploy.embedded.supervisor import Stack
from services import logs
from services.domain.errors import NightjarError
from services.settings import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True, help="written once all of the stack is ready")
    ready_file: Path = parser.parse_args().ready_file

    def say_ready(stack: Stack) -> None:
        partial = ready_file.with_suffix(".partial")
        partial.write_text(json.dumps({"port": stack.settings.serve.port}) + "\n", encoding="utf-8")
        partial.replace(ready_file)

    try:
        settings = load()
        logs.configure(settings.log_level, "supervisor")
        foreground.run(settings, on_ready=say_ready)
    except NightjarError as error:
        sys.exit(f"nightjar: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
