"""Ctrl-C that Python would drop: one that comes while the main thread is within a `__del__` or a weakref's callback."""

import os
import signal
import sys
import threading
from typing import Any, Final

AGAIN_S: Final = 0.05  # larger: a stop takes longer; smaller: it may come within the same callback, and once more


def never_lost() -> None:
    """From now on a KeyboardInterrupt that Python can only report is sent again; call from the main thread.

    A client that is taken down, or SQLAlchemy's pool when a connection is collected, runs in such places for
    milliseconds at a time. Any other error that can only be reported still is.
    """
    before = sys.unraisablehook

    def report(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        # Sent from here it would come within the same callback, and be dropped there again.
        again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = report
