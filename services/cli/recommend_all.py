"""`nightjar recommend --all`: the lists of all users into Parquet, made here from the bundle and not by the service."""

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.embedded.state import connected
from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion
from services.inference.bulk.parquet_files import check_free
from services.inference.bulk.wiring import export_everybody
from services.settings import Settings


def recommend_all(settings: Settings, out: Path, k: int, version: str | None, *, force: bool) -> None:
    """Progress on standard error, a JSON object on standard output. Raises what `export_everybody` does."""
    check_free(out, force=force)
    settings = connected(settings, needs=("redis",))
    started = time.perf_counter()
    columns = SpinnerColumn(), TextColumn("{task.completed:,} users"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("export", total=None)
        wanted = None if version is None else ModelVersion(version)
        try:
            done = asyncio.run(export_everybody(settings, out, k, wanted, lambda users: bar.advance(task, users)))
        except OSError as error:
            raise InvalidRequest("--out", f"{str(out)!r} cannot be written: {error}") from error
    seconds = time.perf_counter() - started
    typer.echo(json.dumps({"out": str(out), "k": k} | asdict(done) | {"seconds": round(seconds, 2)}))
