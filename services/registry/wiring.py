"""Opens the real registry, the gate's rules, and the way to tell serving of a change."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from services.adapters.redis_store import RedisLiveModelNotice, RedisPreparationNotice
from services.adapters.sql.engine import connect
from services.adapters.sql.fleet import SqlFleet
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.adapters.sql.trials import SqlTrials
from services.domain.clock import SystemClock
from services.domain.ports import Notice
from services.registry.gate import GateRules
from services.registry.rollout import Rollout
from services.registry.trials import end_those_of
from services.settings import Settings

log = structlog.get_logger(__name__)


class PollingOnly:
    """The notice where no Redis is known: workers find the change when they next ask the database."""

    def announce(self, generation: int) -> None:
        log.info("no_notice_sent", generation=generation, why="no Redis is known; workers notice by polling")


def open_registry(settings: Settings) -> SqlModelRegistry:
    """The registry in the catalog database, its tables brought up to date; raises CatalogDown."""
    upgrade(settings.database_url)
    return SqlModelRegistry(connect(settings.database_url), SystemClock())


def gate_rules(settings: Settings) -> GateRules:
    """The operator's thresholds."""
    return GateRules(**settings.gate.model_dump())


def open_notice(settings: Settings) -> Notice:
    """Redis when the settings name one, else polling alone."""
    if settings.redis.url is None:
        return PollingOnly()
    return RedisLiveModelNotice(settings.redis.url.get_secret_value(), settings.redis.timeout_s)


def never_stops(pause_s: float) -> bool:
    """A pause for a command that ends by itself, or by Ctrl-C."""
    time.sleep(pause_s)
    return False


def open_rollout(settings: Settings, pause: Callable[[float], bool] = never_stops) -> Rollout:
    """How this process prepares swaps; its tables are those of `open_registry`. `pause`: see Rollout."""
    notice: Notice = PollingOnly()
    if settings.redis.url is not None:
        notice = RedisPreparationNotice(settings.redis.url.get_secret_value(), settings.redis.timeout_s)
    clock, swap = SystemClock(), settings.swap
    engine = connect(settings.database_url)
    fleet, then = SqlFleet(engine, clock), partial(end_those_of, SqlTrials(engine, clock))
    return Rollout(fleet, notice, clock, pause, timedelta(seconds=swap.prepare_timeout_s), swap.min_ready, then)


def open_trials(settings: Settings) -> SqlTrials:
    """Canary and shadow; the tables are those of `open_registry`."""
    return SqlTrials(connect(settings.database_url), SystemClock())
