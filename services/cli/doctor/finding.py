"""What one look found, and how findings are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` says how to get what is missing, and is empty when nothing is."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True
    """False: all works without it, if slower or smaller."""


def failed(findings: Sequence[Finding]) -> bool:
    """True when something is missing that is needed."""
    return any(finding.needed and not finding.ok for finding in findings)


def table(findings: Sequence[Finding]) -> Table:
    shown = Table("", "what", "found", "what to do")
    for finding in findings:
        mark = "[green]✔[/]" if finding.ok else "[red]✘[/]" if finding.needed else "[yellow]–[/]"
        shown.add_row(mark, finding.name, escape(finding.detail), escape(finding.remedy))
    return shown
