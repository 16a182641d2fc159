"""Runs a whole stack in this process until it is told to stop: `nightjar up`, and the process behind `--detach`."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from deploy.embedded.logfiles import LogFollower
from deploy.embedded.services import SERVICES
from deploy.embedded.supervisor import Stack
from services.settings import Settings

STYLES = ("cyan", "green", "magenta", "yellow", "blue", "bright_green", "bright_cyan")


def run(
    settings: Settings,
    *,
    on_ready: Callable[[Stack], None],
    console: Console | None = None,
    programs: Mapping[str, Sequence[str]] = SERVICES,
) -> None:
    """Starts everything and blocks until SIGINT, SIGTERM or SIGHUP; then stops everything and returns.

    The console, where there is one, shows what the parts log. A signal that comes before all is ready raises
    KeyboardInterrupt once everything is stopped.
    """
    with signals_interrupt(), Stack(settings, programs) as stack:
        show = _shower(stack, console) if console else lambda: None
        stack.start()
        on_ready(stack)
        try:
            stack.watch(each_time=show)
        except KeyboardInterrupt:
            return


def _shower(stack: Stack, console: Console) -> Callable[[], None]:
    """A function that prints what was logged since its last call, each line with its part's name in front."""
    follower = LogFollower()
    for name, path in stack.logs.items():
        follower.follow(name, path)
    style_of = {name: STYLES[row % len(STYLES)] for row, name in enumerate(stack.logs)}

    def show() -> None:
        for name, line in follower.new_lines():
            console.print(Text.assemble((f"{name:>9} │ ", style_of[name]), line), soft_wrap=True, highlight=False)

    return show


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
