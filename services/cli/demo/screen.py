"""What the demo shows: headings, progress, titles, and the summary; no figures are made here."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from nightjar import Recommendation
from services.cli.datasets import Dataset
from services.cli.demo.figures import Figures
from services.cli.demo.freshness import Freshness
from services.cli.terminal import cell
from services.domain.ids import ItemId, UserId
from services.domain.items import Item

SHOWN_ITEMS = 4
ORIGINS = {"model": "recommended by the model", "popular": "popular items"}


class Screen:
    """Writes for people: to standard output, or to standard error when that is for the JSON."""

    def __init__(self, *, human_output_on_stderr: bool) -> None:
        self.console = Console(stderr=human_output_on_stderr, highlight=False)
        self._titles: Mapping[ItemId, Item] = {}
        self._example: tuple[UserId, ItemId] = UserId("42"), ItemId("50")

    def know(self, dataset: Dataset) -> None:
        """From now on items are shown by their titles, and examples name a user and an item that exist."""
        self._titles = {item.item_id: item for item in dataset.items}
        self._example = dataset.events[-1].user_id, dataset.items[0].item_id

    def heading(self, number: int, text: str) -> None:
        self.console.print(f"\n[bold cyan]{number}[/] [bold]{text}[/]")

    def say(self, text: str) -> None:
        """A result, in Rich's markup."""
        self.console.print(Padding(Text.from_markup(text), (0, 0, 0, 2), expand=False))

    def explain(self, text: str) -> None:
        """What just happened, and why it matters."""
        self.say(f"[dim italic]{text}[/]")

    @contextmanager
    def bars(self, totals: Mapping[str, int]) -> Iterator[Callable[[str, int], None]]:
        """Live progress bars; gives a function that sets one bar to a count."""
        with Progress(
            TextColumn("  {task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.console,
        ) as progress:  # fmt: skip
            tasks = {name: progress.add_task(name, total=total) for name, total in totals.items()}
            yield lambda name, count: progress.update(tasks[name], completed=count)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner with a text; gives a function that changes the text."""
        with self.console.status(f"  {text}") as status:
            yield lambda changed: status.update(f"  {changed}")

    def recommendations(self, user_id: UserId, chosen: Sequence[ItemId], answer: Recommendation) -> None:
        """One user: what they chose lately, the newest first, and what they are offered."""
        table = Table(show_edge=False, pad_edge=False, box=None)
        table.add_column(f"user {cell(user_id)} chose lately", style="dim", width=34, no_wrap=True)
        table.add_column(ORIGINS.get(answer.source, answer.source), width=42, no_wrap=True)
        for row in range(SHOWN_ITEMS):
            left = self._title(chosen[row]) if row < len(chosen) else ""
            right = f"{row + 1}. {self._title(ItemId(answer.items[row].item_id))}" if row < len(answer.items) else ""
            table.add_row(left, right)
        self.console.print(table)
        self.console.print()

    def freshness(self, seen: Freshness) -> None:
        """Before and after, side by side, and what came between."""
        for item_id, changed_ms in zip(seen.acted_on, seen.changed_ms, strict=True):
            self.say(f"user {seen.user_id} acts on [bold]{self._title(item_id)}[/] → another answer after "
                     f"[bold green]{changed_ms:.0f} ms[/]")  # fmt: skip
        before_ids = {item.item_id for item in seen.before.items[:SHOWN_ITEMS]}
        table = Table(show_edge=False, pad_edge=False, box=None)
        table.add_column("recommended before", style="dim", width=34, no_wrap=True)
        table.add_column("and after", width=42, no_wrap=True)
        for old, new in zip(seen.before.items[:SHOWN_ITEMS], seen.after.items[:SHOWN_ITEMS], strict=False):
            mark = "" if new.item_id in before_ids else "[green]new[/] "
            table.add_row(self._title(ItemId(old.item_id)), mark + self._title(ItemId(new.item_id)))
        self.console.print(table)

    def summary(self, figures: Figures, home: Path) -> None:
        """The one table at the end, and how to look further."""
        table = Table(title="What happened", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        low, high = figures.ndcg_gain_ci
        rows = [
            ("events sent / logged / dead / duplicate", f"{figures.events_sent:,} / {figures.events_logged:,} / "
             f"{figures.events_dead:,} / {figures.events_duplicate:,}"),
            ("histories in Redis compared with what was sent", f"{figures.users_online:,}, all equal"),
            ("events produced a second", f"{figures.send_events_per_s:,.0f}"),
            ("NDCG@10 model / popularity", f"{figures.ndcg_at_10:.4f} / {figures.popularity_ndcg_at_10:.4f}"),
            ("gain, 95% interval", f"{low:+.4f} to {high:+.4f}"),
            ("Recall@20 model / popularity", f"{figures.recall_at_20:.4f} / {figures.popularity_recall_at_20:.4f}"),
            ("click to changed answer (median)", f"{figures.changed_answer_ms:.0f} ms"),
            ("calls through the swap / failed / of a wrong version",
             f"{figures.swap_calls:,} / {figures.swap_failures} / {figures.wrong_version_replies}"),
            ("latency of those calls p50 / p99",
             f"{figures.latency_ms['p50']:.1f} / {figures.latency_ms['p99']:.1f} ms"),
        ]  # fmt: skip
        rows += [(f"  answered by {version}", f"{count:,}") for version, count in figures.replies_by_version.items()]
        for name, value in rows:
            table.add_row(name, value)
        table.add_section()
        spent = [f"{name} {seconds:.1f}" for name, seconds in figures.stage_seconds.items()]
        table.add_row("seconds of each stage", "\n".join(spent))
        self.console.print()
        self.console.print(table)
        self.console.print(
            Panel.fit(
                escape("\n".join((*_activation(), *self._commands(), f"All of it is in {home}"))),
                title="Look further",
                title_align="left",
            )
        )

    def _commands(self) -> Sequence[str]:
        user_id, item_id = self._example
        commands = {
            "nightjar up --detach": "keeps it running; it is yours then:",
            "": "the next demo needs another NIGHTJAR_HOME",
            f"nightjar recommend {user_id}": "asks for a user",
            "nightjar models list": "what the gate said; then promote, rollback",
            "nightjar down": "stops everything",
        }
        width = max(map(len, commands)) + 2
        lines = [f"{command:<{width}}{what}" for command, what in commands.items()]
        return [*lines, f"nightjar events send --user {user_id} --item {item_id} --type view"]

    def _title(self, item_id: ItemId) -> str:
        item = self._titles.get(item_id)
        if item is None or not item.title:
            return cell(item_id)
        title = cell(item.title)
        return f"{title} [dim]({cell(', '.join(item.categories[:3]))})[/]" if item.categories else title


def _activation() -> Sequence[str]:
    """The line that puts `nightjar` on the PATH, where it is not: after `make demo`, say."""
    if shutil.which("nightjar") is not None:
        return ()
    return (f"source {os.path.relpath(sys.prefix)}/bin/activate",)
