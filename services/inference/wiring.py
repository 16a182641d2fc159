"""Puts one serving worker together: settings in, parts out. The only module of serving that sees adapters."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.redis_store import (
    RedisAvailabilityNotices,
    RedisHistoryReader,
    RedisLiveModelNotice,
    RedisLiveModelNotices,
    RedisResultCache,
)
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.model_registry import SqlModelRegistry
from services.domain.clock import SystemClock
from services.inference.addresses import redis_url
from services.inference.availability import AvailabilitySlot
from services.inference.availability_file import AvailabilityFile
from services.inference.availability_follower import AvailabilityFollower
from services.inference.background import BackgroundTasks
from services.inference.catalog_follower import CatalogFollower
from services.inference.follower import Follower
from services.inference.live_bundle import LiveBundle, LiveBundleFile
from services.inference.model_slot import ModelSlot, load_bundle
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.rpc.model_servicer import ModelServicer
from services.inference.rpc.recommender_servicer import RecommenderServicer
from services.inference.rpc.server import Health
from services.inference.serving_model import ServingModel
from services.registry import promotion
from services.settings import Settings

MAX_CACHE_WRITES: Final = 256  # at once; larger: memory while Redis is slow; smaller: bursts go uncached
DRAIN_WRITES_S: Final = 1.0  # the cache is best effort: no reason to hold a stop up for longer


@dataclass(frozen=True)
class Parts:
    """What a worker runs, and how it is taken apart."""

    recommender: RecommenderServicer
    models: ModelServicer
    health: Health
    followers: tuple[CatalogFollower, ...]
    recorder: Recorder
    background: BackgroundTasks
    connections: tuple[RedisHistoryReader | RedisResultCache | RedisLiveModelNotices | RedisAvailabilityNotices, ...]
    notice: RedisLiveModelNotice

    async def close(self) -> None:
        """Finishes what runs beside the requests, then closes every connection."""
        await self.background.drain(DRAIN_WRITES_S)
        for connection in self.connections:
            await connection.aclose()
        self.notice.close()


def build(settings: Settings) -> Parts:
    """Nothing is connected yet: a store or database that is down now is found again later.

    Raises InvalidSettings for addresses that are none. Tables are brought up to date by whoever writes models, so a
    database without them counts as one without a live model.
    """
    url, timeout_s = redis_url(settings), settings.redis.timeout_s
    histories = RedisHistoryReader(url, timeout_s)
    cache = RedisResultCache(url, timeout_s, settings.redis.cache_ttl_s)
    notices, notice = RedisLiveModelNotices(url), RedisLiveModelNotice(url, timeout_s)
    availability_notices = RedisAvailabilityNotices(url)
    engine, clock = connect(settings.database_url), SystemClock()
    registry = SqlModelRegistry(engine, clock)
    recorder, background, health = Recorder(), BackgroundTasks(MAX_CACHE_WRITES), Health()
    availability, availability_file = AvailabilitySlot(clock), AvailabilityFile(settings.availability_file)
    slot = ModelSlot(partial(_load, FolderBundleStore(settings.bundle_folder), availability))
    remembered = LiveBundleFile(settings.live_bundle_file)
    return Parts(
        recommender=RecommenderServicer(Recommender(slot.model, availability, histories, cache, background, recorder)),
        models=ModelServicer(
            registry,
            promote=partial(promotion.promote, registry, notice),
            rollback=partial(promotion.rollback, registry, notice),
        ),
        health=health,
        followers=(
            Follower(slot, registry, notices, clock, recorder, remembered, health.model_loaded),
            AvailabilityFollower(
                availability, SqlItemCatalog(engine), availability_notices, clock, availability_file, slot.model
            ),
        ),
        recorder=recorder,
        background=background,
        connections=(histories, cache, notices, availability_notices),
        notice=notice,
    )


def _load(bundles: FolderBundleStore, availability: AvailabilitySlot, bundle: LiveBundle) -> ServingModel:
    """Before the swap, since no request may wait for it: the model, and which of its items are unavailable."""
    model = load_bundle(bundles, bundle)
    availability.prepare(model)
    return model
