"""What `nightjar ingest status` makes of offsets and commits, and which sentence it finds for what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.domain.log_history import LogState
from services.domain.streams import Counts, Partition, Progress, Record
from services.ingest.status import IngestStatus, Topics, take_status
from services.ingest.troubles import rates_of, troubles_of
from tests.fakes.broker import FakeBroker
from tests.fakes.clock import START, FakeClock
from tests.fakes.log_history import FakeLogHistory

FIRST, SECOND = Partition("events", 0), Partition("events", 1)
EVERYTHING = [FIRST, SECOND, *(Partition(name, 0) for name in ("items", "users", "events.dlq", "items.dlq"))]
TOPICS = Topics(
    "events", "g-offline", "g-online", {"items": "items", "users": "users"}, {"items": "g-i", "users": "g-u"}
)
ALL_RUN = {"g-offline": 1, "g-online": 2, "g-i": 1, "g-u": 1}
SECOND_US = 1_000_000


class Scene:
    """A way in at START: two partitions of 100 records, all of them logged and served, all writers at work."""

    def __init__(self, num_records: int = 100) -> None:
        self.broker = FakeBroker(EVERYTHING)
        for partition in (FIRST, SECOND):
            self.produce(partition, num_records)
        self.broker.members = dict(ALL_RUN)
        self.broker.committed_offsets["g-online"] = {FIRST: num_records, SECOND: num_records}
        self.redis: dict[Partition, int] | None = {FIRST: num_records, SECOND: num_records}
        self.states = [self.logged(-300, 40), self.logged(-5, num_records)]
        self.commit_interval = timedelta(seconds=10)

    def produce(self, partition: Partition, num_records: int, age_s: float = 86_400) -> None:
        time_us = int((START.timestamp() - age_s) * SECOND_US)
        for _ in range(num_records):
            self.broker.append(Record(partition, 0, b"x", timestamp_us=time_us))

    def logged(self, at_s: float, read: int, counts: Counts | None = None) -> LogState:
        each = Counts(read=read, logged=read) if counts is None else counts
        watermark_us = int(START.timestamp() + at_s) * SECOND_US
        progress = {FIRST: Progress(read, each, watermark_us), SECOND: Progress(read, each, watermark_us + SECOND_US)}
        return LogState(len(getattr(self, "states", [])), START + timedelta(seconds=at_s), progress)

    def status(self) -> IngestStatus:
        def fences(_: Sequence[Partition]) -> Mapping[Partition, int] | None:
            return self.redis

        history = FakeLogHistory(self.states)
        return take_status(TOPICS, self.broker, history, fences, FakeClock(), self.commit_interval)

    def failing(self) -> list[str]:
        status = self.status()
        return [each.sentence for each in troubles_of(status, rates_of(status, None)) if each.failing]

    def sentences(self) -> list[str]:
        status = self.status()
        return [trouble.sentence for trouble in troubles_of(status, rates_of(status, None))]


def test_a_healthy_way_in_has_no_trouble() -> None:
    scene = Scene()
    status = scene.status()
    assert scene.sentences() == []
    assert status.counts == Counts(read=200, logged=200)
    assert status.conserved
    assert [(each.offline_lag, each.online_lag) for each in status.partitions] == [(0, 0), (0, 0)]


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Of each partition 60 records were committed within it."""
    status = Scene().status()
    assert [each.events_per_s for each in status.partitions] == [1.0, 1.0]
    assert status.events_per_s == 2.0


def test_without_a_commit_in_the_last_minute_there_is_no_rate() -> None:
    scene = Scene()
    scene.states = scene.states[:1]
    assert scene.status().events_per_s is None


def test_the_watermark_of_all_is_the_oldest_of_any() -> None:
    assert Scene().status().watermark == START - timedelta(seconds=5)


def test_lag_is_counted_for_each_writer() -> None:
    scene = Scene()
    scene.produce(FIRST, 30)
    scene.redis = {FIRST: 100, SECOND: 90}
    status = scene.status()
    assert [(each.offline_lag, each.online_lag) for each in status.partitions] == [(30, 30), (0, 10)]
    assert {writer.name: writer.lag for writer in status.writers} == {
        "offline": 30,
        "online": 40,
        "items": 0,
        "users": 0,
    }


def test_rates_of_writers_come_from_two_looks() -> None:
    scene, clock = Scene(), FakeClock()
    earlier = scene.status()
    scene.produce(FIRST, 50)
    scene.broker.committed_offsets["g-online"][FIRST] = 150  # all that is known while Redis is away
    clock.advance(10)
    history = FakeLogHistory(scene.states)
    later = take_status(TOPICS, scene.broker, history, lambda _: None, clock, scene.commit_interval)
    assert rates_of(later, earlier)["online"] == 5.0
    assert rates_of(later, None)["online"] is None


def test_nothing_at_all_is_a_report_too() -> None:
    """A cluster without topics and a log without commits."""
    status = take_status(TOPICS, FakeBroker([]), FakeLogHistory(), lambda _: {}, FakeClock(), timedelta(seconds=10))
    sentences = [trouble.sentence for trouble in troubles_of(status, {})]
    assert status.conserved
    assert status.watermark is None
    assert [sentence for sentence in sentences if "does not exist" in sentence and "`nightjar up`" in sentence]
    assert any("is `nightjar up` running?" in sentence for sentence in sentences)


def broken_count(scene: Scene) -> None:
    scene.states[-1] = scene.logged(-5, 100, Counts(read=100, logged=98, dead=1))


def deleted_before_logged(scene: Scene) -> None:
    scene.states = [scene.logged(-5, 40)]
    scene.broker.delete_before({FIRST: 60})


def topic_made_anew(scene: Scene) -> None:
    scene.states.append(scene.logged(-1, 500))


def no_writer(scene: Scene) -> None:
    scene.broker.members = {}


def no_online_writer(scene: Scene) -> None:
    del scene.broker.members["g-online"]


def silent_log(scene: Scene) -> None:
    scene.states = scene.states[:1]


def never_committed(scene: Scene) -> None:
    scene.states = []


def redis_away(scene: Scene) -> None:
    scene.redis = None


def redis_emptied(scene: Scene) -> None:
    scene.redis = {}


def redis_emptied_long_after(scene: Scene) -> None:
    scene.redis = {}
    scene.broker.delete_before({FIRST: 20})


def far_behind(scene: Scene) -> None:
    scene.produce(FIRST, 2_000)


def dead_letters(scene: Scene) -> None:
    scene.produce(Partition("events.dlq", 0), 3)


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (broken_count, "report this as a defect"),
        (deleted_before_logged, "Kafka deleted 20 records of events/0 before they were logged"),
        (topic_made_anew, "the topic was made anew"),
        (no_writer, "is `nightjar up` running?"),
        (no_online_writer, "No online writer runs"),
        (silent_log, "took nothing from 2 of 2 partitions for 2 min or longer though 120 records wait there"),
        (never_committed, "has no commit though 200 records wait"),
        (redis_away, "Redis does not answer"),
        (redis_emptied, "the online writer reads 200 records again, by itself"),
        (redis_emptied_long_after, "lacks events of 1 partitions that Kafka no longer holds: run `nightjar features"),
        (far_behind, "The online writer is 2,000 records behind"),
        (dead_letters, "3 dead letters are kept: `nightjar dlq list`"),
    ],
)
def test_each_trouble_is_one_sentence_with_what_to_do(disturb: Callable[[Scene], None], said: str) -> None:
    scene = Scene()
    disturb(scene)
    sentences = scene.sentences()
    assert [sentence for sentence in sentences if said in sentence], sentences
    assert all(sentence.endswith((".", "?")) and "\n" not in sentence for sentence in sentences)


def test_a_commit_of_others_does_not_hide_a_hung_writer() -> None:
    """An import, or housekeeping, commits to the log and moves no partition."""
    scene = Scene()
    stored = scene.logged(-300, 40)
    scene.states = [stored, replace(stored, version=2, commit_time=START - timedelta(seconds=1))]
    assert any("took nothing from 2 of 2 partitions" in sentence for sentence in scene.failing())
    assert scene.status().events_per_s is None, "a commit without records is no rate"


def test_one_partition_that_hangs_is_told_while_the_other_goes_on() -> None:
    scene = Scene()
    scene.states = [scene.logged(-300, 40), scene.logged(-5, 100)]
    scene.states[-1] = replace(
        scene.states[-1], progress={**scene.states[-1].progress, SECOND: scene.states[0].progress[SECOND]}
    )
    (sentence,) = scene.failing()
    assert "took nothing from 1 of 2 partitions for 2 min or longer though 60 records wait there" in sentence


@pytest.mark.parametrize(("silent_s", "fails"), [(300, False), (7_100, False), (7_300, True)])
def test_a_writer_is_silent_after_two_of_its_intervals(silent_s: float, fails: bool) -> None:
    """With the longest interval that may be set, an hour."""
    scene = Scene()
    scene.commit_interval = timedelta(hours=1)
    scene.states = [scene.logged(-silent_s, 40)]
    assert bool(scene.failing()) == fails


def test_records_that_just_came_after_an_idle_night_are_no_trouble() -> None:
    scene = Scene()
    scene.states = [scene.logged(-30_000, 100)]
    scene.produce(FIRST, 5, age_s=1)
    assert scene.failing() == []


@pytest.mark.parametrize(("per_s", "said"), [(400.0, "in 5 s"), (2.0, "in 17 min"), (0.0, "does not get on")])
def test_a_lag_says_when_it_will_be_done(per_s: float, said: str) -> None:
    scene = Scene()
    scene.produce(FIRST, 2_000)
    (online,) = [
        each for each in troubles_of(scene.status(), {"online": per_s, "offline": 1e9}) if "online" in each.sentence
    ]
    assert said in online.sentence
    assert online.failing == (per_s == 0)
