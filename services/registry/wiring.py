"""Opens the real registry, the gate's rules, and the way to tell serving of a change."""

import structlog

from services.adapters.redis_store import RedisLiveModelNotice
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.domain.clock import SystemClock
from services.domain.ports import Notice
from services.registry.gate import GateRules
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
    gate = settings.gate
    return GateRules(gate.min_gain_over_popularity, gate.min_coverage, gate.min_holdout_users)


def open_notice(settings: Settings) -> Notice:
    """Redis when the settings name one, else polling alone."""
    if settings.redis.url is None:
        return PollingOnly()
    return RedisLiveModelNotice(settings.redis.url.get_secret_value(), settings.redis.timeout_s)
