"""A worker that hears no SIGTERM, as one that hangs in a collective: `-m tests.integration.stubborn_worker FOLDER`."""

import os
import signal
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(sys.argv[1], f"{os.environ['RANK']}.pid").write_text(str(os.getpid()))
    threading.Event().wait(600)
