"""Writers that die: a process that forks writers, each of which kills itself with SIGKILL at the step it is told.

One order a line on standard input, `offline|online STEP NTH` (the nth time the step is reached) or `… random SECONDS`;
one line on standard output a death. Forking spares the imports, so a life takes a fraction of a second. A life has a
consumer group of its own: nobody waits for the group to miss its predecessor, and where to read on is not the group's
to say.
"""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from services import logs
from services.adapters.delta_log import DeltaEventLog
from services.adapters.kafka_source import KafkaDeadLetters, KafkaRecordSource
from services.adapters.redis_store import CounterLimits, HistoryLimits, RedisCounterWriter, RedisHistoryWriter
from services.domain.clock import SystemClock
from services.domain.counters import CounterBatch, CounterRules, Shard
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.ports import PartitionListener
from services.domain.streams import DeadLetter, LogBatch, Partition, Record
from services.ingest.applying import run_online
from services.ingest.checkpointing import CheckpointLimits, run_checkpoints
from services.ingest.codec import Limits
from services.ingest.erased import ErasureFollower
from services.ingest.offline_writer import OfflineWriter
from services.ingest.online_writer import OnlineWriter
from tests.fakes.user_directory import FakeUserDirectory

OFFLINE_STEPS: Final = (
    "after_poll",
    "after_dead_letters",
    "before_commit",
    "during_commit",
    "after_commit",
    "committed",
)
ONLINE_STEPS: Final = ("after_poll", "after_histories", "after_counters", "committed")
LIMITS: Final = Limits(max_record_bytes=4_096, max_future_us=86_400_000_000)
TRENDING_HALF_LIFE_S: Final = 21_600.0
LONGEST_LIFE_S: Final = 15.0  # a step that is not reached must not hang the test


class Death:
    """Comes at the nth time that a step is reached."""

    def __init__(self, step: str, nth: int) -> None:
        self._step = step
        self._left = nth

    def at(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def during(self, step: str) -> None:
        """Within the next 20 ms, which is about what a commit takes."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                threading.Timer(Random(os.getpid()).uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGKILL)).start()


class MortalSource(KafkaRecordSource):
    def __init__(self, servers: str, topic: str, listener: PartitionListener, death: Death) -> None:
        super().__init__(servers, f"life-{uuid.uuid4().hex}", [topic], listener)
        self._death = death

    def poll(self, timeout_s: float) -> Sequence[Record]:
        records = super().poll(timeout_s)
        if records:
            self._death.at("after_poll")
        return records

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        super().commit(offsets)
        self._death.at("committed")


class MortalLetters(KafkaDeadLetters):
    def __init__(self, servers: str, death: Death) -> None:
        super().__init__(servers)
        self._death = death

    def send(self, letters: Sequence[DeadLetter]) -> None:
        super().send(letters)
        self._death.at("after_dead_letters")


class MortalLog(DeltaEventLog):
    def __init__(self, folder: Path, death: Death) -> None:
        super().__init__(folder)
        self._death = death

    def append(self, batch: LogBatch) -> int:
        self._death.at("before_commit")
        self._death.during("during_commit")
        version = super().append(batch)
        self._death.at("after_commit")
        return version


class MortalHistories(RedisHistoryWriter):
    def __init__(self, url: str, death: Death) -> None:
        super().__init__(url, DEFAULT_EVENT_TYPES, HistoryLimits(200, 2_000, 86_400))
        self._death = death

    def apply(self, interactions: Iterable[Interaction]) -> None:
        super().apply(interactions)
        self._death.at("after_histories")


class MortalCounters(RedisCounterWriter):
    def __init__(self, url: str, death: Death) -> None:
        rules = CounterRules(DEFAULT_EVENT_TYPES, TRENDING_HALF_LIFE_S)
        super().__init__(url, rules, CounterLimits(100_000, 100, 50_000, 86_400), SystemClock())
        self._death = death

    def apply(self, batches: Sequence[CounterBatch]) -> dict[Shard, int]:
        fences = super().apply(batches)
        self._death.at("after_counters")
        return fences


def live_offline(servers: str, topic: str, home: Path, death: Death) -> None:
    """Checkpoints after every poll, until death."""
    writer = OfflineWriter(
        MortalLog(home, death),
        MortalLetters(servers, death),
        SystemClock(),
        types=DEFAULT_EVENT_TYPES,
        limits=LIMITS,
        dedupe_window_us=7 * 86_400_000_000,
        dedupe_max_ids=1_000_000,
        max_consecutive_dead=1_000,
    )
    source = MortalSource(servers, topic, writer, death)
    run_checkpoints(source, writer, threading.Event(), CheckpointLimits(10_000, 2**30, 0.0))


def live_online(servers: str, topic: str, redis_url: str, death: Death) -> None:
    histories, counters = MortalHistories(redis_url, death), MortalCounters(redis_url, death)
    nobody = ErasureFollower(FakeUserDirectory, SystemClock())
    writer = OnlineWriter(histories, counters, nobody, SystemClock(), types=DEFAULT_EVENT_TYPES, limits=LIMITS)
    run_online(MortalSource(servers, topic, writer, death), writer, threading.Event())


def main() -> None:
    servers, topic, home, redis_url = sys.argv[1:]
    logs.configure("warning", "mortals")
    for line in sys.stdin:
        kind, step, when = line.split()
        pid = os.fork()
        if pid == 0:
            death = Death(step, 0 if step == "random" else int(when))
            if kind == "offline":
                live_offline(servers, topic, Path(home), death)
            else:
                live_online(servers, topic, redis_url, death)
            os._exit(1)
        if step == "random":
            timer = threading.Timer(float(when), os.kill, (pid, signal.SIGKILL))
        else:  # another signal, so that a step that was never reached does not pass for a death at it
            timer = threading.Timer(LONGEST_LIFE_S, os.kill, (pid, signal.SIGABRT))
        timer.start()
        _, status = os.waitpid(pid, 0)
        timer.cancel()
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - its protocol


if __name__ == "__main__":
    main()
