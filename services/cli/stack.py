"""`nightjar up`, `down`, `status` and `doctor`: the embedded stack from the command line."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded import background, foreground, state
from deploy.embedded.supervisor import Stack
from services import logs
from services.cli import doctor as examination
from services.settings import Settings, load

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on standard output instead of a table.")]


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once all is ready; it runs on.")] = False,
) -> None:
    """Example: `nightjar up` starts Kafka, Valkey and every service, and shows one log; Ctrl-C stops everything.

    `nightjar up --detach` starts them in the background and returns once they are ready; `nightjar down` stops them.
    A Kafka or Redis of your own, named by NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS or NIGHTJAR_REDIS__URL, is used instead.
    For a second stack beside this one set NIGHTJAR_HOME, NIGHTJAR_SERVE__PORT and NIGHTJAR_GATEWAY__PORT to others.
    """
    settings = load()
    logs.configure(settings.log_level, "supervisor")
    console = Console(stderr=True)
    if detach:
        pid = background.start(settings)
        console.print(_where(state.connected(settings)), highlight=False, soft_wrap=True)
        console.print(f"It runs in the background as process {pid}; `nightjar down` stops it.", highlight=False)
        return

    def say_ready(stack: Stack) -> None:
        console.print(_where(stack.settings), highlight=False, soft_wrap=True)
        console.print("Ctrl-C stops everything.")

    foreground.run(settings, on_ready=say_ready, console=console)
    console.print("Everything is stopped.")


def down() -> None:
    """Example: `nightjar down` stops the stack of this NIGHTJAR_HOME, with all its processes. May be repeated."""
    settings = load()
    logs.configure(settings.log_level, "cli")
    stopped = background.stop(settings)
    sentence = "Everything is stopped." if stopped else f"No stack is running in {settings.home_folder}."
    Console(stderr=True).print(sentence, highlight=False)


def status(as_json: JsonFlag = False) -> None:
    """Example: `nightjar status` shows each part's state, process, port and uptime. Exit code 1 when one is down."""
    settings = load()
    report = report_of(settings)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    elif report["running"]:
        console = Console()
        console.print(_table(report["parts"]))
        console.print(f"Logs: {settings.home_folder / 'logs'}", highlight=False, soft_wrap=True)
    else:
        Console(stderr=True).print(
            f"No stack is running in {settings.home_folder}; start one with `nightjar up`.", highlight=False
        )
    if not report["running"] or any(part["state"] not in ("running", "external") for part in report["parts"]):
        raise typer.Exit(1)


def doctor(as_json: JsonFlag = False) -> None:
    """Example: `nightjar doctor` says what this machine lacks, what is wrong with what runs, and what to do.

    Exit code 1 when something is needed that is not there.
    """
    findings = examination.examine(load())
    if as_json:
        report = {"ok": not examination.failed(findings), "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        Console().print(examination.table(findings))
    if examination.failed(findings):
        raise typer.Exit(1)


def report_of(settings: Settings) -> dict[str, Any]:
    """What `status --json` prints; addresses given by the operator are not repeated, they may hold passwords."""
    known = state.read(settings.home_folder)
    running = known.running
    parts: list[dict[str, Any]] = []
    if running:
        ours = {part.name for part in known.parts}
        parts += [_external(name) for name in ("kafka", "valkey") if name not in ours and name not in known.ports]
        for part in known.parts:
            alive = part.identity.process() is not None
            parts.append(
                {
                    "name": part.name,
                    "state": part.condition if alive or part.condition == "restarting" else "down",
                    "pid": part.identity.pid if alive else None,
                    "port": part.port,
                    "uptime_s": round(part.uptime_s, 1) if alive else None,
                    "restarts": part.restarts,
                    "log": part.log,
                }
            )
    return {"running": running, "home": str(settings.home_folder), "parts": parts}


def _external(name: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("pid", "port", "uptime_s", "log"))
    return {"name": name, "state": "external", "restarts": 0, **nothing}


def _table(parts: list[dict[str, Any]]) -> Table:
    table = Table("part", "state", "pid", "port", "uptime", "restarts")
    for part in parts:
        colour = "green" if part["state"] in ("running", "external") else "red"
        uptime = "" if part["uptime_s"] is None else f"{part['uptime_s']:.0f} s"
        shown = [part["pid"] or "", part["port"] or "", uptime, part["restarts"]]
        table.add_row(part["name"], f"[{colour}]{part['state']}[/]", *map(str, shown))
    return table


def _where(settings: Settings) -> str:
    schedule = settings.schedule
    nights = "" if schedule.port is None else f"nights over gRPC at {schedule.host}:{schedule.port}, "
    return (
        f"Nightjar is up: Kafka at {settings.kafka.bootstrap_servers}, "
        f"recommendations over gRPC at {settings.serve.host}:{settings.serve.port}, events over gRPC at "
        f"{settings.gateway.host}:{settings.gateway.port}, {nights}all state in {settings.home_folder}."
    )
