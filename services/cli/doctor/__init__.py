"""`nightjar doctor`: what this machine lacks, and how the running system is."""

from services.cli.doctor.finding import Finding, failed, table
from services.cli.doctor.machine import examine_machine
from services.settings import Settings

__all__ = ["Finding", "examine", "failed", "table"]


def examine(settings: Settings) -> list[Finding]:
    """Looks at everything; starts nothing, changes nothing, and takes a few seconds."""
    from services.cli.doctor.running import examine_running

    return [*examine_machine(settings), *examine_running(settings)]
