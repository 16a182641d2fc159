"""Runs a whole stack in this process until it is told to stop: `nightjar up`, and the process behind `--detach`."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from deploy.embedded import demo_marker
from deploy.embedded.logfiles import LogFollower
from deploy.embedded.services import SERVICES
from deploy.embedded.supervisor import Stack
from services.settings import Settings

STYLES = ("cyan", "green", "magenta", "yellow", "blue", "bright_green", "bright_cyan")
SHOW_S: Final = 0.2  # larger: lines come late; smaller: idle CPU
JOIN_S: Final = 5.0  # a terminal that takes no output must not keep the stack from stopping


def run(
    settings: Settings,
    *,
    on_ready: Callable[[Stack], None],
    console: Console | None = None,
    programs: Mapping[str, Sequence[str]] = SERVICES,
) -> None:
    """Starts everything and blocks until SIGINT, SIGTERM or SIGHUP; then stops everything and returns.

    The console, where there is one, shows what the parts log, from their start on. A home that a demo made is its
    user's from now on: no demo deletes it. A signal that comes before all is ready raises KeyboardInterrupt once
    everything is stopped.
    """
    with signals_interrupt(), Stack(settings, programs) as stack:
        stack.open()
        demo_marker.remove(settings.home_folder)
        with _shown(stack.logs, console) if console else nullcontext():
            stack.start()
            on_ready(stack)
            try:
                stack.watch()
            except KeyboardInterrupt:
                return


@contextmanager
def _shown(logs: Mapping[str, Path], console: Console) -> Iterator[None]:
    """Prints what is logged inside the block, each line with its part's name in front.

    A thread of its own does it, since the start of a part, which is what one wants to watch, blocks.
    """
    follower = LogFollower()
    for name, path in logs.items():
        follower.follow(name, path)
    style_of = {name: STYLES[row % len(STYLES)] for row, name in enumerate(logs)}
    ended = threading.Event()

    def show() -> None:
        for name, line in follower.new_lines():
            console.print(Text.assemble((f"{name:>9} │ ", style_of[name]), line), soft_wrap=True, highlight=False)

    def show_until_ended() -> None:
        while not ended.wait(SHOW_S):
            show()
        show()  # what a part that failed to start said last

    printer = threading.Thread(target=show_until_ended, name="log-printer", daemon=True)
    printer.start()
    try:
        yield
    finally:
        ended.set()
        printer.join(JOIN_S)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal stop it as Ctrl-C does, at whatever moment."""
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in earlier:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
