"""What is known of a home's stack: `stack.json`, written by its supervisor and read by every other command."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from deploy.embedded.processes import Identity
from services.domain.errors import InvalidSettings, NotRunning, StartFailed
from services.settings import GatewaySettings, ServeSettings, Settings

FILE = "stack.json"
Condition = Literal["starting", "running", "restarting"]
Address = Literal["kafka", "redis", "serve", "gateway"]


@dataclass(frozen=True)
class Part:
    """One process of the stack."""

    name: str
    identity: Identity
    condition: Condition
    port: int | None
    log: str
    restarts: int = 0

    @property
    def uptime_s(self) -> float:
        return time.time() - self.identity.start_time


@dataclass(frozen=True)
class StackState:
    """A stack as last written; whether it lives is for the system to say."""

    supervisor: Identity | None = None
    """None after an orderly stop."""
    bootstrap_servers: str | None = None
    redis_url: str | None = None
    """None for a server that was given to us: its address may hold a password and is not written down."""
    serve_port: int | None = None
    gateway_port: int | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    """The ports used last, by part; a restart takes the same."""
    parts: tuple[Part, ...] = ()

    @property
    def running(self) -> bool:
        return self.supervisor is not None and self.supervisor.process() is not None

    def stopped(self) -> "StackState":
        """What stays known after an orderly stop."""
        return StackState(ports=self.ports)


def read(home: Path) -> StackState:
    """The state of a home; an empty one when no stack ever ran there. Raises StartFailed for a broken file."""
    path = home / FILE
    try:
        return _from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return StackState()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartFailed(f"{path} cannot be read ({error}); see that no stack runs there, and remove it.") from error


def write(home: Path, state: StackState) -> None:
    """Replaces the file in one step."""
    partial = home / f"{FILE}.partial"
    partial.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    partial.replace(home / FILE)


def connected(settings: Settings, needs: Sequence[Address] = ()) -> Settings:
    """The settings with the addresses of the home's running stack wherever none are set.

    needs: what the caller cannot do without. Where no stack runs, or it does not know an address that is not needed,
    the settings stay as they are. Raises NotRunning when no stack runs and a needed address is not set, InvalidSettings
    when the running stack uses a Redis of the operator's own, whose address it does not write down.
    """
    state = read(settings.home_folder)
    unset = {name for name in needs if not _is_set(settings, name)}
    if not state.running:
        if unset:
            raise NotRunning(f"No stack is running in {settings.home_folder}; start one with `nightjar up`.")
        return settings
    if "redis" in unset and state.redis_url is None:
        raise InvalidSettings("The running stack uses a Redis of your own; set NIGHTJAR_REDIS__URL here as well.")
    return with_addresses(
        settings,
        bootstrap_servers=None if _is_set(settings, "kafka") else state.bootstrap_servers,
        redis_url=None if _is_set(settings, "redis") else state.redis_url,
        serve_port=None if _names_a_port(settings.serve) else state.serve_port,
        gateway_port=None if _names_a_port(settings.gateway) else state.gateway_port,
    )


def _is_set(settings: Settings, name: Address) -> bool:
    """Whether the operator named this server: for a gRPC server, its host or its port (0 names none)."""
    match name:
        case "kafka":
            return settings.kafka.bootstrap_servers is not None
        case "redis":
            return settings.redis.url is not None
        case "serve":
            return _names_a_server(settings.serve)
        case "gateway":
            return _names_a_server(settings.gateway)


def _names_a_server(section: ServeSettings | GatewaySettings) -> bool:
    return section.port != 0 and not section.model_fields_set.isdisjoint({"host", "port"})


def _names_a_port(section: ServeSettings | GatewaySettings) -> bool:
    return section.port != 0 and "port" in section.model_fields_set


def with_addresses(
    settings: Settings,
    *,
    bootstrap_servers: str | None,
    redis_url: str | None,
    serve_port: int | None,
    gateway_port: int | None,
    schedule_port: int | None = None,
) -> Settings:
    """A copy with these addresses; None leaves what is there."""
    kafka, redis, serve, gateway = settings.kafka, settings.redis, settings.serve, settings.gateway
    if bootstrap_servers is not None:
        kafka = kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    if redis_url is not None:
        redis = redis.model_copy(update={"url": SecretStr(redis_url)})
    if serve_port is not None:
        serve = serve.model_copy(update={"port": serve_port})
    if gateway_port is not None:
        gateway = gateway.model_copy(update={"port": gateway_port})
    updated = {"kafka": kafka, "redis": redis, "serve": serve, "gateway": gateway}
    if schedule_port is not None:
        updated["schedule"] = settings.schedule.model_copy(update={"port": schedule_port})
    return settings.model_copy(update=updated)


def _from_json(document: Mapping[str, Any]) -> StackState:
    state = StackState(**document)
    parts = (Part(**part) for part in document["parts"])
    return replace(
        state,
        supervisor=Identity(**document["supervisor"]) if document["supervisor"] else None,
        parts=tuple(
            replace(part, identity=Identity(**document["parts"][row]["identity"])) for row, part in enumerate(parts)
        ),
    )
