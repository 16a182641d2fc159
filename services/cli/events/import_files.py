"""`nightjar events import`: files of events into the offline log."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services import logs
from services.domain.errors import InvalidRequest
from services.domain.streams import Counts, Partition
from services.ingest.importing.mapping import TimeUnit
from services.settings import Settings, load

_NAMED: Final = 5  # bad rows that a dry run shows. Larger: a broken mapping fills the screen; smaller: less to go by


def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Parquet, CSV or JSON Lines.")],
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN", help="Read a field from a column. Unset: the column of its name."
        ),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=TEXT", help="Give every event this value.")
    ] = None,
    time_unit: Annotated[
        TimeUnit | None,
        typer.Option(help="What event_time is where it is no timestamp. Unset: ISO 8601; without a zone it is UTC."),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="parquet, csv or jsonl. Unset: as the name ends.")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="Between the cells of a CSV file.")] = ",",
    bad_rows: Annotated[
        Path | None,
        typer.Option(
            help="Where skipped rows are reported. Unset: FILE.DIGEST.bad.jsonl, one for each way to read FILE."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file instead of a sentence.")] = False,
) -> None:
    """Puts files of events into the offline log; rows that are no events are skipped and reported.

    Run it again after a break and it goes on where it was; a file that is in the log already changes nothing.

    Example: nightjar events import ratings.csv --map user_id=userId --map item_id=movieId --map value=rating
    --map event_time=timestamp --time-unit s --set type=rating

    Fields: user_id, item_id, type, event_time (these four are needed), event_id (else made of the row's content),
    value, session_id, request_id, position, surface, attributes (a map, or JSON text), attributes.NAME.
    """
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    if bad_rows is not None and len(files) > 1:
        raise InvalidRequest("--bad-rows", "names one report, so give one FILE")
    options = _pairs("--map", mapped), _pairs("--set", constants), time_unit
    any_logged = False
    for file in files:
        document = _import_file(settings, file, format_name, delimiter, options, bad_rows, dry_run=dry_run)
        any_logged |= bool(document["logged"]) and not dry_run
        typer.echo(json.dumps(document) if as_json else _sentence(document))
    if any_logged and not as_json:
        typer.echo("Serving does not know these events yet; `nightjar features rebuild` tells it.")


def _import_file(
    settings: Settings,
    file: Path,
    format_name: str | None,
    delimiter: str,
    options: tuple[Mapping[str, str], Mapping[str, str], TimeUnit | None],
    bad_rows: Path | None,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    from services.adapters.delta_log.importing import DeltaImportLog  # a second of imports that --help spares
    from services.domain.clock import SystemClock
    from services.ingest.importing.bad_rows import BadRow, BadRowReport
    from services.ingest.importing.importer import Import, partition_of
    from services.ingest.importing.mapping import Columns
    from services.ingest.importing.sources import format_of, open_source
    from services.ingest.wiring import limits_of

    chosen = format_of(file, format_name)
    source = open_source(file, chosen, delimiter=delimiter)
    columns = Columns.of_file(source.schema.names, *options)
    partition = partition_of(file, columns, chosen + (delimiter if chosen == "csv" else ""))
    report = bad_rows or file.with_name(f"{file.name}.{_short_digest(partition)}.bad.jsonl")
    if report.exists() and report.samefile(file):
        raise InvalidRequest("--bad-rows", f"{str(report)!r} is the file to import")
    first_bad: list[BadRow] = []

    def note(row: BadRow) -> None:
        if len(first_bad) < _NAMED:
            first_bad.append(row)

    started = time.monotonic()
    with _bar(file.name, source.num_rows) as on_progress:
        job = Import(
            source,
            columns,
            partition,
            DeltaImportLog(settings.log_folder),
            BadRowReport(report),
            settings.declared_event_types(),
            limits_of(settings),
            SystemClock(),
            on_progress,
        )
        counts = job.check(note) if dry_run else job.run()
    took_s = time.monotonic() - started
    for row, reason, detail in first_bad:
        typer.echo(f"{file}, row {row + 1}: {reason}: {detail}", err=True)
    if dry_run and counts.dead > len(first_bad):
        typer.echo(f"{file}: {counts.dead - len(first_bad)} more rows are bad; the import reports them all.", err=True)
    return {
        "file": str(file),
        "read": counts.read,
        "logged": counts.logged,
        "dead": counts.dead,
        "duplicate": counts.duplicate,
        "bad_rows": str(report) if report.exists() and not dry_run else None,
        "dry_run": dry_run,
        "took_s": round(took_s, 3),
    }


def _short_digest(partition: Partition) -> str:
    """Enough of the import's digest that two mappings of one file do not share a report."""
    return partition.topic.removeprefix("import/")[:8]


def _sentence(document: Mapping[str, Any]) -> str:
    counts = "{file}: {read} rows, {logged} logged, {duplicate} duplicates, {dead} skipped".format(**document)
    where = f" ({document['bad_rows']} says why)" if document["bad_rows"] else ""
    return f"{counts}{where}{'; nothing was written' if document['dry_run'] else ''}."


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    for name, equals, _ in pairs:
        if not equals:
            raise InvalidRequest(
                option, f"{name!r} has no '='; write FIELD={'COLUMN' if option == '--map' else 'TEXT'}"
            )
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise InvalidRequest(option, "names a field twice")
    return {name: value for name, _, value in pairs}


class _Shown:
    """Hears an import's counts and shows how far it is."""

    def __init__(self, bar: Progress, name: str, num_rows: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(name, total=num_rows)

    def __call__(self, counts: Counts) -> None:
        self._bar.update(self._task, completed=counts.read)


@contextmanager
def _bar(name: str, num_rows: int | None) -> Iterator[_Shown]:
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        yield _Shown(bar, name, num_rows)
