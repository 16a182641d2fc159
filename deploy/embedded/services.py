"""The project's own processes: their commands, the configuration they are given, and how they say they are ready."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from deploy.embedded.processes import Program
from services.settings import Settings

SERVICES: Final[Mapping[str, Sequence[str]]] = {
    "offline": ("-m", "services.ingest", "offline"),
    "online": ("-m", "services.ingest", "online"),
    "catalog": ("-m", "services.ingest", "catalog"),
    "gateway": ("-m", "services.ingest.gateway"),
    "inference": ("-m", "services.inference"),
    "scheduler": ("-m", "scheduler"),
}
"""Arguments to Python, by name. Each also takes `--ready-file PATH` and writes JSON there once it is ready."""

SERVING: Final = "inference"
GATEWAY: Final = "gateway"
SCHEDULER: Final = "scheduler"
STOP_MARGIN_S = 10.0  # beyond the drain of running calls; smaller: a commit under way is cut off


def program(name: str, arguments: Sequence[str], settings: Settings) -> Program:
    """A service of this name with these arguments to Python and exactly these settings."""
    ready_file = settings.home_folder / "run" / f"{name}.json"
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    return Program(
        name=name,
        command=[sys.executable, *arguments, "--ready-file", str(ready_file)],
        log=log_of(settings, name),
        is_ready=ready_file.is_file,
        port=port_of(name, settings),
        environment=environment(settings),
        start_timeout_s=90.0,
        stop_timeout_s=max(settings.serve.drain_s, settings.gateway.drain_s) + STOP_MARGIN_S,
        ready_file=ready_file,
    )


def port_of(name: str, settings: Settings) -> int | None:
    """Where a service listens; None for one that doesn't."""
    ports = {SERVING: settings.serve.port, GATEWAY: settings.gateway.port, SCHEDULER: settings.schedule.port}
    return ports.get(name)


def log_of(settings: Settings, name: str) -> Path:
    return settings.home_folder / "logs" / f"{name}.log"


def environment(settings: Settings) -> dict[str, str]:
    """Our own environment with every setting spelled out, so that a child sees the same whatever files it finds."""
    spelled: dict[str, str] = {}
    for name, value in to_jsonable_python(_revealed(settings.model_dump())).items():
        if isinstance(value, dict):
            spelled |= {
                f"NIGHTJAR_{name}__{key}".upper(): _text(part) for key, part in value.items() if part is not None
            }
        else:
            spelled[f"NIGHTJAR_{name}".upper()] = _text(value)
    spelled["NIGHTJAR_HOME"] = str(settings.home_folder)
    spelled["NIGHTJAR_CACHE"] = str(settings.cache_folder)
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("NIGHTJAR_")}
    return {**inherited, **spelled, "PYTHONUNBUFFERED": "1"}


def _revealed(value: Any) -> Any:
    """A dump masks secrets when it becomes JSON; the children need them."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return {name: _revealed(part) for name, part in value.items()} if isinstance(value, dict) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
