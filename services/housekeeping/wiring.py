"""Puts the housekeeping together: the log, and the catalog database."""

from collections.abc import Callable

from services.adapters.sql.engine import connect
from services.adapters.sql.run_book import SqlRunBook
from services.adapters.sql.user_directory import SqlUserDirectory
from services.domain.clock import SystemClock
from services.domain.log_keeping import LogKeeper
from services.housekeeping.upkeep import Housekeeping, Rules
from services.registry.wiring import open_registry
from services.settings import Settings

_MIB = 1024 * 1024


def open_keeper(settings: Settings) -> LogKeeper:
    from services.adapters.delta_log.housekeeping import DeltaLogKeeper  # a second of imports

    log = settings.log
    return DeltaLogKeeper(
        settings.log_folder, target_file_bytes=log.target_file_mib * _MIB, min_small_files=log.compact_min_files
    )


def build(settings: Settings, stopping: Callable[[], bool]) -> Housekeeping:
    """Raises CatalogDown."""
    registry, engine, clock = open_registry(settings), connect(settings.database_url), SystemClock()
    log = settings.log
    return Housekeeping(
        keeper=open_keeper(settings),
        registry=registry,
        users=SqlUserDirectory(engine, clock),
        runs=SqlRunBook(engine, clock),
        clock=clock,
        rules=Rules(log.retention_days, log.vacuum_min_age_h, log.keep_models),
        stopping=stopping,
    )
