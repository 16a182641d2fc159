"""A stream of events of all sorts, and what the log, the dead letters and Redis must hold once it was written."""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from nightjar.v1 import event_pb2
from services.adapters.delta_log import DeltaEventLog
from services.adapters.redis_store import RedisItemCounters, RedisStore
from services.domain.counters import CounterKind
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId, UserId
from services.domain.streams import Counts
from tests.integration.crashing_writers import TRENDING_HALF_LIFE_S
from tests.integration.pipeline import Pipeline, history_of, read_all
from tests.waiting import wait_until

DAY_US = 86_400_000_000


class RedisServer:
    """A server of the test's own: counters are read over all shards, so others' must not be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = any_free()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self._port}/0"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        program = valkey.program(valkey.find_server(), self._folder, self._port, self._folder / "valkey.log")
        with running(program):
            yield


class Stream:
    """A reproducible stream of good, repeated, late and bad records, and what must become of them."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self._pipeline = pipeline
        self._random = Random(seed)
        self._now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
        self.events: dict[str, event_pb2.Event] = {}
        self.num_records = self.num_dead = 0

    def send(self, num_records: int) -> None:
        """At least one of them is bad."""
        for number in range(num_records):
            kind = self._random.random() if number else 0
            if kind < 0.1:
                self._pipeline.send(self._random.choice([b"{", b"\xff", b'{"eventId":"x"}']), key=self._user())
                self.num_dead += 1
            elif kind < 0.25 and self.events:
                self._produce(self._random.choice(list(self.events.values())))
            else:
                self._produce(self._new_event())
            self.num_records += 1
        self._pipeline.producer.flush()

    @property
    def expected(self) -> Counts:
        logged = len(self.events)
        return Counts(self.num_records, logged, self.num_dead, self.num_records - logged - self.num_dead)

    def _user(self) -> str:
        return f"{self._pipeline.name}-{self._random.randrange(20)}"

    def _new_event(self) -> event_pb2.Event:
        event = event_pb2.Event(
            event_id=f"e{len(self.events):06}",
            user_id=self._user(),
            item_id=f"i{self._random.randrange(50)}",
            type=self._random.choice(["view", "purchase", "dislike", "impression"]),
            surface=self._random.choice(["home", "search"]),
        )
        late_us = self._random.randrange(2 * DAY_US) if self._random.random() < 0.2 else self._random.randrange(10**7)
        event.event_time.FromMicroseconds(self._now_us - late_us)
        self.events[event.event_id] = event
        return event

    def _produce(self, event: event_pb2.Event) -> None:
        self._pipeline.send(event.SerializeToString(), key=event.user_id, content_type="application/x-protobuf")


def check_log(pipeline: Pipeline, stream: Stream) -> None:
    """The log holds exactly the distinct good events, the dead letters all the bad ones, and the counts say so."""
    assert pipeline.counts() == stream.expected
    log = DeltaEventLog(pipeline.settings.log_folder)
    stored = [each for ids, _ in log.recent_ids(365 * DAY_US) for each in ids]
    assert sorted(stored) == sorted(stream.events)
    letters = read_all(pipeline, pipeline.topic + ".dlq")
    assert len({(letter["source-partition"], letter["source-offset"]) for letter in letters}) == stream.num_dead


def wait_until_redis_is_complete(pipeline: Pipeline, stream: Stream) -> None:
    problems = [""]

    def complete() -> bool:
        problems.append(online_state_problem(pipeline, stream) or "")
        return not problems[-1]

    try:
        wait_until(complete, timeout_s=30)
    except AssertionError as error:
        raise AssertionError(f"Redis is not what the events say: {problems[-1]}") from error


def online_state_problem(pipeline: Pipeline, stream: Stream) -> str | None:
    """The first difference between Redis and what all events say; None when there is none."""
    by_user: dict[str, list[event_pb2.Event]] = defaultdict(list)
    for event in stream.events.values():
        by_user[event.user_id].append(event)
    for user, events in by_user.items():
        history = asyncio.run(history_of(pipeline.redis_url, UserId(user)))
        entering = [each for each in events if each.type != "impression"]
        entering.sort(key=lambda each: (each.event_time.ToMicroseconds(), each.event_id))
        if [entry.event_id for entry in history.entries] != [each.event_id for each in entering[-200:]]:
            return f"the history of {user}"
        if history.consumed != {each.item_id for each in events if each.type in ("purchase", "dislike")}:
            return f"what {user} consumed"
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    items = {ItemId(event.item_id) for event in stream.events.values()}
    for kind in CounterKind:
        found = dict(asyncio.run(sums_in_redis(pipeline.redis_url, kind, now_us, items)))
        expected = {item: amount for item, amount in sums(stream, kind, now_us).items() if amount > 0}
        if found != pytest.approx(expected, rel=1e-9, abs=1e-9):
            return f"how {kind} items are: {found} instead of {expected}"
    return None


def sums(stream: Stream, kind: CounterKind, now_us: int) -> dict[str, float]:
    """Every distinct event's weight, decayed by its definition."""
    found: dict[str, float] = defaultdict(float)
    for event in stream.events.values():
        declared = DEFAULT_EVENT_TYPES.get(event.type)
        assert declared is not None
        half_life_s = declared.half_life_s if kind is CounterKind.POPULAR else TRENDING_HALF_LIFE_S
        age_s = (now_us - event.event_time.ToMicroseconds()) / 1e6
        found[event.item_id] += declared.judge(None).weight * math.exp2(-age_s / half_life_s)
    return found


async def sums_in_redis(
    redis_url: str, kind: CounterKind, now_us: int, items: set[ItemId]
) -> Sequence[tuple[ItemId, float]]:
    counters = RedisItemCounters(RedisStore(redis_url, timeout_s=5))
    try:
        return await counters.top(kind, len(items), now_us, among=items)
    finally:
        await counters.aclose()
