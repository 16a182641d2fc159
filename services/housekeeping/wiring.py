"""Puts the housekeeping together: the log, the catalog database, and the online store where there is one."""

from collections.abc import Callable
from functools import partial

from services.adapters.redis_store import looking
from services.adapters.redis_store.forgetting import RedisForgetter
from services.adapters.sql.engine import connect
from services.adapters.sql.fleet import SqlFleet
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.night_book import SqlNightBook
from services.adapters.sql.run_book import SqlRunBook
from services.adapters.sql.trials import SqlTrials
from services.adapters.sql.user_directory import SqlUserDirectory
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.ids import UserId
from services.domain.log_keeping import LogKeeper
from services.housekeeping.finding import Found, find
from services.housekeeping.upkeep import Housekeeping, Rules
from services.registry.cleanup import CleanUp, KeepRules
from services.registry.open_nights import versions_in_hand
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
    url = settings.redis.url
    registry, engine, clock = open_registry(settings), connect(settings.database_url), SystemClock()
    log, runs = settings.log, SqlRunBook(engine, clock)
    return Housekeeping(
        keeper=open_keeper(settings),
        registry=registry,
        users=SqlUserDirectory(engine, clock),
        online=None if url is None else RedisForgetter(url.get_secret_value()),
        runs=runs,
        clock=clock,
        rules=Rules(log.retention_days, log.vacuum_min_age_h, log.keep_models, log.keep_candidates_days),
        stopping=stopping,
        models=CleanUp(
            registry=registry,
            bundles=open_bundles(settings),
            fleet=SqlFleet(engine, clock),
            trials=SqlTrials(engine, clock),
            clock=clock,
            rules=KeepRules(log.keep_models, settings.bundles.keep_newest, log.keep_candidates_days),
            in_hand=partial(versions_in_hand, runs, SqlNightBook(engine, clock)),
        ),
    )


def find_user(settings: Settings, user_id: UserId) -> Found:
    """What is kept of a user, see `find`."""
    upgrade(settings.database_url)
    users = SqlUserDirectory(connect(settings.database_url), SystemClock())
    url = settings.redis.url
    online = None if url is None else partial(looking.num_held, url.get_secret_value())
    return find(user_id, users, open_keeper(settings), online)
