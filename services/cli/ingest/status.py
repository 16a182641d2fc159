"""`nightjar ingest status`: how far the writers are, what became of the records, and what is wrong."""

import json
import threading
from contextlib import nullcontext
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from services import logs
from services.adapters.kafka_cluster import KafkaCluster
from services.cli.ingest.looking import look, troubles_seen
from services.cli.ingest.showing import document_of, screen_of
from services.cli.streams import connected_to_kafka
from services.ingest.troubles import rates_of
from services.process import stop_on_signals
from services.settings import Settings, load

SAMPLE_S: Final = 1.0  # between two looks, for the rates; larger: a slow command; smaller: rates that jump
REFRESH_S: Final = 2.0  # larger: a stale screen; smaller: load on the brokers


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds until Ctrl-C.")] = False,
) -> None:
    """Shows lag, rates, watermark, and what became of every record, by partition; then what is wrong and what to do.

    Exit code 1 when something is wrong that does not mend itself.

    Example: nightjar ingest status --json
    """
    settings, servers = connected_to_kafka(load())
    logs.configure(settings.log_level, "nightjar")
    with KafkaCluster(servers) as cluster:
        if watch:
            _watch(settings, cluster, as_json=as_json)
            return
        earlier = look(settings, cluster)
        threading.Event().wait(SAMPLE_S)
        newest = look(settings, cluster)
    rates = rates_of(newest, earlier)
    troubles = troubles_seen(settings, newest, rates)
    if as_json:
        typer.echo(json.dumps(document_of(newest, rates, troubles)))
    else:
        Console().print(screen_of(newest, rates, troubles))
    if any(trouble.failing for trouble in troubles):
        raise typer.Exit(1)


def _watch(settings: Settings, cluster: KafkaCluster, *, as_json: bool) -> None:
    """Shows anew until a signal: one screen that changes, or with `--json` one object a line."""
    stop, earlier = stop_on_signals(), None
    with nullcontext() if as_json else Live(auto_refresh=False) as screen:
        while not stop.is_set():
            newest = look(settings, cluster)
            rates = rates_of(newest, earlier)
            troubles = troubles_seen(settings, newest, rates)
            if screen is None:
                typer.echo(json.dumps(document_of(newest, rates, troubles)))
            else:
                screen.update(screen_of(newest, rates, troubles), refresh=True)
            earlier = newest
            stop.wait(REFRESH_S)
