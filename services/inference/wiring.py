"""Puts one serving worker together: settings in, parts out. The only module of serving that sees adapters."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from services.adapters.redis_store import (
    RedisAvailabilityNotices,
    RedisHistoryReader,
    RedisItemCounters,
    RedisLiveModelNotice,
    RedisLiveModelNotices,
    RedisPreparationNotice,
    RedisPreparationNotices,
    RedisResultCache,
    RedisStore,
)
from services.adapters.sql.engine import connect
from services.adapters.sql.fleet import SqlFleet
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.model_registry import SqlModelRegistry
from services.adapters.sql.trials import SqlTrials
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.errors import ModelNotReady
from services.inference.addresses import redis_url
from services.inference.answer_memory import AnswerMemory
from services.inference.availability import AvailabilitySlot
from services.inference.availability_file import AvailabilityFile
from services.inference.availability_follower import AvailabilityFollower
from services.inference.background import BackgroundTasks
from services.inference.catalog_follower import CatalogFollower
from services.inference.facts import FactsSlot
from services.inference.facts_follower import FactsFollower
from services.inference.fleet_member import FleetMember, Identity
from services.inference.follower import Follower
from services.inference.gentle import gentle_threads
from services.inference.live_bundle import BundleAddress, LiveBundleFile
from services.inference.loading import Loading
from services.inference.model_slot import Load, ModelSlot
from services.inference.popular import PopularNow
from services.inference.recent_requests import RecentRequests
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.rpc.model_servicer import ModelServicer
from services.inference.rpc.recommender_servicer import RecommenderServicer
from services.inference.rpc.server import Health
from services.inference.rpc.trial_methods import TrialDesk
from services.inference.serving_model import ServingModel
from services.inference.shadowing import Shadowing
from services.inference.standing import Standing
from services.inference.trial_follower import TrialFollower
from services.inference.trial_slot import TrialSlot
from services.inference.trying_out import TryingOut
from services.registry import promotion
from services.registry.rollout import Rollout
from services.registry.trial_status import newest_trials
from services.registry.trials import end, end_those_of, start
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
    connections: tuple[
        RedisStore | RedisItemCounters | RedisLiveModelNotices | RedisPreparationNotices | RedisAvailabilityNotices,
        ...,
    ]
    notices: tuple[RedisLiveModelNotice | RedisPreparationNotice, ...]
    member: FleetMember
    trials: TrialFollower
    shadowing: Shadowing
    threads: ThreadPoolExecutor
    """Where models are loaded, beside the requests."""
    stopping: threading.Event
    """Set when changes of the live model that wait for workers must be given up."""

    async def close(self) -> None:
        """Leaves the fleet, finishes what runs beside the requests, then closes every connection."""
        self.stopping.set()
        self.models.close()
        await self.shadowing.close(DRAIN_WRITES_S)
        await self.trials.leave()
        await self.member.leave()
        await self.background.drain(DRAIN_WRITES_S)
        self.threads.shutdown(wait=False, cancel_futures=True)
        for connection in self.connections:
            await connection.aclose()
        for notice in self.notices:
            notice.close()


def build(settings: Settings) -> Parts:
    """Nothing is connected yet: a store or database that is down now is found again later.

    Raises InvalidSettings for addresses that are none. Tables are brought up to date by whoever writes models, so a
    database without them counts as one without a live model.
    """
    url, timeout_s = redis_url(settings), settings.redis.timeout_s
    store, memory = RedisStore(url, timeout_s), AnswerMemory(settings.redis.cache_ttl_s)
    cache = RedisResultCache(store, settings.redis.cache_ttl_s)
    notices, notice = RedisLiveModelNotices(url), RedisLiveModelNotice(url, timeout_s)
    preparations, preparation = RedisPreparationNotices(url), RedisPreparationNotice(url, timeout_s)
    availability_notices = RedisAvailabilityNotices(url)
    engine, clock, stopping = connect(settings.database_url), SystemClock(), threading.Event()
    registry, fleet = SqlModelRegistry(engine, clock), SqlFleet(engine, clock)
    recorder, background, health = Recorder(), BackgroundTasks(MAX_CACHE_WRITES), Health()
    availability, availability_file = AvailabilitySlot(clock), AvailabilityFile(settings.availability_file)
    histories, recent = RedisHistoryReader(store), RecentRequests(clock)
    threads, counters = gentle_threads(), RedisItemCounters(RedisStore(url, timeout_s))
    try_out = TryingOut(recent, histories, cache, lambda: availability.snapshot, clock, threads)
    on_trial, bundles = TrialSlot(availability, clock), open_bundles(settings)
    facts = FactsSlot()
    load = Loading(bundles, recent, try_out, threads, settings.loading_lock)
    slot = ModelSlot(
        partial(_held_or_loaded, on_trial, load),
        clock,
        timedelta(seconds=settings.swap.rollback_window_s),
        partial(_prepare, availability, facts),
    )
    popular = PopularNow(counters, slot.model, availability, clock, facts)
    identity, swap, forget_old = _identity(), settings.swap, (recent.forget_old, memory.forget_old)
    timeout = timedelta(seconds=swap.prepare_timeout_s)
    trials = SqlTrials(engine, clock)
    rollout = Rollout(fleet, preparation, clock, stopping.wait, timeout, swap.min_ready, partial(end_those_of, trials))
    trial_follower = TrialFollower(
        identity.worker_id, on_trial, partial(_held_or_loaded, slot, load), registry, trials, clock
    )
    shadowing = Shadowing(on_trial, recorder)
    standing = Standing(fleet, identity.worker_id, clock, swap.min_ready, health.tell)
    member = FleetMember(identity, slot, registry, fleet, preparations, clock, recorder, forget_old)
    return Parts(
        recommender=RecommenderServicer(
            Recommender(
                slot.model,
                availability,
                histories,
                cache,
                background,
                recorder,
                on_trial,
                shadowing,
                recent,
                memory,
                facts,
                popular,
            ),
            popular,
            settings.declared_event_types(),
            clock,
        ),
        models=ModelServicer(
            registry,
            promote=partial(promotion.promote, registry, notice, rollout=rollout),
            rollback=partial(promotion.rollback, registry, notice, rollout=rollout),
            trials=TrialDesk(
                start=partial(start, registry, trials, bundles),
                end=partial(end, trials),
                newest=lambda limit: newest_trials(trials, fleet, clock.now(), limit),
            ),
        ),
        health=health,
        followers=(
            Follower(slot, registry, notices, clock, recorder, LiveBundleFile(settings.live_bundle_file), standing),
            member,
            trial_follower,
            AvailabilityFollower(
                availability,
                SqlItemCatalog(engine),
                availability_notices,
                clock,
                availability_file,
                slot.model,
                lambda: [(each.availability, each.model) for each in on_trial.all()],
            ),
            FactsFollower(facts, SqlItemCatalog(engine), lambda: _that_answer(slot, on_trial)),
        ),
        recorder=recorder,
        background=background,
        connections=(store, counters, notices, preparations, availability_notices),
        notices=(notice, preparation),
        member=member,
        trials=trial_follower,
        shadowing=shadowing,
        threads=threads,
        stopping=stopping,
    )


def _identity() -> Identity:
    """The supervisor is the replica; of two on one host, each has a process id of its own."""
    return Identity(uuid4().hex, f"{socket.gethostname()}/{os.getppid()}", os.getpid())


def _prepare(availability: AvailabilitySlot, facts: FactsSlot, model: ServingModel) -> None:
    """So that no request waits for what the catalog says to be worked out; blocks."""
    availability.prepare(model)
    facts.prepare(model)


def _that_answer(slot: ModelSlot, on_trial: TrialSlot) -> list[ServingModel]:
    beside = [each.model for each in on_trial.all()]
    try:
        return [slot.model(), *beside]
    except ModelNotReady:
        return beside


async def _held_or_loaded(other: ModelSlot | TrialSlot, load: Load, bundle: BundleAddress) -> ServingModel:
    """So that a canary that goes live is not loaded again, nor a live model that is on trial."""
    return other.loaded(bundle) or await load(bundle)
