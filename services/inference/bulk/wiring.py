"""Opens what an export of all lists reads: the registry, the bundle, the catalog, and Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.adapters.redis_store import RedisHistoryReader, RedisStore, RedisUserLister
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.model_registry import SqlModelRegistry
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.errors import ModelNotReady
from services.domain.ids import ModelVersion
from services.domain.ports import ModelRegistry
from services.inference.addresses import redis_url
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.bulk.everybody import NoCache, lists_of_everybody
from services.inference.bulk.parquet_files import ListFiles
from services.inference.loading import load_bundle
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.settings import Settings


@dataclass(frozen=True, slots=True)
class Exported:
    """num_failed: lists that are popular items, since the model could not work with the user's history."""

    model_version: ModelVersion
    catalog_version: str
    num_users: int
    num_rows: int
    num_files: int
    num_failed: int


async def export_everybody(
    settings: Settings, out: Path, k: int, version: ModelVersion | None, on_users: Callable[[int], None]
) -> Exported:
    """Writes the lists of all users; `on_users` hears how many came since it last did.

    version: None: the live one. Raises ModelNotReady without one, UnknownVersion, BundleBroken, CatalogDown,
    FeatureStoreDown, InvalidSettings, and OSError.
    """
    url, clock, engine = redis_url(settings), SystemClock(), connect(settings.database_url)
    registry = SqlModelRegistry(engine, clock)
    model = load_bundle(open_bundles(settings), registry.get(version or _live(registry)))
    availability = AvailabilitySlot(clock)
    availability.replace(EMPTY.after(SqlItemCatalog(engine).availability_since(0)), None)
    availability.prepare(model)
    store = RedisStore(url, settings.redis.timeout_s)
    recommender = Recommender(
        lambda: model, availability, RedisHistoryReader(store), NoCache(), BackgroundTasks(1), Recorder()
    )
    num_users = num_failed = 0
    try:
        with ListFiles(out) as files:
            async for lists in lists_of_everybody(RedisUserLister(url), recommender, k):
                files.add(lists)
                num_users += len(lists)
                num_failed += sum(bool(answer.degraded) for _, answer in lists)
                on_users(len(lists))
            files.finish()
    finally:
        await store.aclose()
    catalog_version = availability.of(model).version
    return Exported(model.version, catalog_version, num_users, files.num_rows, files.num_parts, num_failed)


def _live(registry: ModelRegistry) -> ModelVersion:
    live = registry.live()
    if live is None:
        raise ModelNotReady("No model is live yet; train one, or name one with --version.")
    return live.version
