"""One housekeeping: what is pinned, when an erasure is fulfilled, and that it is recorded whatever happens."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services import lease
from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.adapters.redis_store import HistoryLimits
from services.domain.errors import EventLogDown, FeatureStoreDown, UnknownVersion
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import Interaction
from services.domain.log_keeping import Cleaned, Compacted, Erased, Held
from services.domain.models import Pin
from services.domain.runs import RunState
from services.domain.streams import LogBatch
from services.domain.users import Erasure
from services.housekeeping.finding import find
from services.housekeeping.upkeep import KIND, Housekeeping, Rules, candidates, pinned_versions
from tests.fakes.clock import FakeClock
from tests.fakes.histories import FakeHistories
from tests.fakes.model_registry import PASSED, REFUSED, FakeModelRegistry, model
from tests.fakes.run_book import FakeRunBook
from tests.fakes.user_directory import FakeUserDirectory
from tests.waiting import wait_until

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
NOW = datetime.now(UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
ADA = UserId("ada")


class Stage:
    """A real log with events of ada and bob today and yesterday, and fakes around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = DeltaEventLog(folder)
        rows = [
            Interaction(EventId(f"{user}{age}"), UserId(user), ItemId("book"), "view", NOW_US - age * DAY_US - HOUR_US)
            for user in ("ada", "bob")
            for age in range(3)
        ]
        for row in rows:
            self.log.append(LogBatch([row]))
        self.keeper = DeltaLogKeeper(folder, target_file_bytes=1_000_000, min_small_files=2)
        self.clock = FakeClock(NOW)
        self.registry = FakeModelRegistry(self.clock)
        self.users = FakeUserDirectory()
        self.online = FakeHistories(DEFAULT_EVENT_TYPES, HistoryLimits(50, 50, 3_600))
        self.runs = FakeRunBook(self.clock)
        self.stopping = threading.Event()

    def house(self, keeper: DeltaLogKeeper | None = None, **rules: int | None) -> Housekeeping:
        bounds = {"retention_days": None, "min_age_h": 0, "keep_models": 2, "keep_candidates_days": 7} | rules
        return Housekeeping(
            keeper or self.keeper,
            self.registry,
            self.users,
            self.online,
            self.runs,
            self.clock,
            Rules(**bounds),  # type: ignore[arg-type]
            self.stopping.is_set,
        )

    def promote(self, name: str, data_version: int) -> None:
        self.registry.register(replace(model(name), data_version=data_version))
        live = self.registry.live()
        self.registry.assign(
            ModelVersion(name),
            actor="t",
            reason="r",
            override=False,
            expected_generation=live.generation if live else 0,
        )

    def ids(self) -> list[str]:
        return sorted(row.event_id for events in self.log.scan(self.log.version()) for row in events.interactions)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "log")


def test_a_run_is_recorded_with_what_it_did(stage: Stage) -> None:
    run = stage.house().run("schedule")
    assert run is not None
    assert run.state is RunState.SUCCEEDED
    assert "6 files merged into 3" in run.detail
    assert [(each.kind, each.state, each.detail) for each in stage.runs.newest(9)] == [(KIND, run.state, run.detail)]
    assert "nothing to do" not in run.detail


def test_the_live_model_and_those_before_it_pin_their_data(stage: Stage) -> None:
    for name, version in (("a", 3), ("b", 4), ("c", 5), ("b2", 4)):
        stage.promote(name, version)
    assert pinned_versions(stage.registry, 1) == [4]
    assert pinned_versions(stage.registry, 2) == [4, 5]
    assert pinned_versions(stage.registry, 9) == [3, 4, 5]
    assert pinned_versions(FakeModelRegistry(), 9) == []


def test_a_model_promoted_again_counts_once(stage: Stage) -> None:
    for name, version in (("a", 3), ("b", 4)):
        stage.promote(name, version)
    stage.registry.assign(ModelVersion("a"), actor="t", reason="r", override=False, expected_generation=2)
    assert pinned_versions(stage.registry, 2) == [3, 4]


def test_pinned_data_still_reads_afterwards(stage: Stage) -> None:
    stage.promote("live", 4)
    stage.house().run("schedule")
    assert len(stage.log.read(4)) == 4


def test_retention_counts_days_back_from_today(stage: Stage) -> None:
    stage.house(retention_days=1).run("schedule")
    boundary_us = (NOW_US // DAY_US - 1) * DAY_US
    times_us = stage.log.read(stage.log.version()).event_times_us
    assert times_us.min() >= boundary_us
    assert len(times_us) == sum(2 for age in range(3) if NOW_US - age * DAY_US - HOUR_US >= boundary_us)


def test_an_erasure_is_open_until_nothing_is_left_on_disk(stage: Stage) -> None:
    """The first run takes the user out of the log, a later one deletes the files, and only that closes the wish."""
    wish = Erasure(ADA, NOW_US)
    stage.users.request_erasures([wish])
    first = stage.house(min_age_h=24).run("schedule")
    assert first is not None
    assert stage.ids() == ["bob0", "bob1", "bob2"]
    assert list(stage.users.open_erasures()) == [wish]
    assert "1 erasures wait" in first.detail
    stage.clock.advance(25 * 3_600)
    second = stage.house(min_age_h=0).run("schedule")
    assert second is not None
    assert stage.users.open_erasures() == []
    assert "1 erasures fulfilled" in second.detail


def test_events_that_arrive_late_are_erased_too(stage: Stage) -> None:
    """A wish stays open for as long as something of before may be on its way."""
    stage.users.request_erasures([Erasure(ADA, NOW_US)])
    stage.house(min_age_h=24).run("schedule")
    stage.log.append(LogBatch([Interaction(EventId("late"), ADA, ItemId("book"), "view", NOW_US - HOUR_US)]))
    stage.log.append(LogBatch([Interaction(EventId("new"), ADA, ItemId("book"), "view", NOW_US + HOUR_US)]))
    stage.house(min_age_h=24).run("schedule")
    assert stage.ids() == ["bob0", "bob1", "bob2", "new"]


def test_a_pinned_version_with_an_erased_user_is_given_up_and_named(stage: Stage) -> None:
    stage.promote("live", stage.log.version())
    stage.users.request_erasures([Erasure(ADA, NOW_US)])
    stage.clock.advance(3_600)
    run = stage.house().run("schedule")
    assert run is not None
    assert "log versions 6 of models are given up to an erasure" in run.detail
    assert stage.users.open_erasures() == []
    again = stage.house().run("schedule")
    assert again is not None
    assert "log versions 6 of models were gone already" in again.detail


def test_a_version_that_nobody_kept_is_not_blamed_on_an_erasure(stage: Stage) -> None:
    """A model of long ago goes live after its data was cleaned up."""
    trained_on = stage.log.version()
    stage.house().run("schedule")
    stage.promote("late", trained_on)
    run = stage.house().run("schedule")
    assert run is not None
    assert "given up to an erasure" not in run.detail
    assert f"log versions {trained_on} of models were gone already" in run.detail


def test_the_data_of_a_model_that_may_go_live_yet_is_kept(stage: Stage) -> None:
    """A model that passed the gate on Monday and is promoted on Friday can still be trained again."""
    for name, version, verdict, days in (
        ("old", 1, PASSED, 8), ("passed", 4, PASSED, 6), ("refused", 6, REFUSED, 1), ("new", 5, None, 0),
    ):  # fmt: skip
        created = NOW - timedelta(days=days)
        stage.registry.register(replace(model(name), data_version=version, verdict=verdict, created_time=created))
    assert candidates(stage.registry, NOW - timedelta(days=7)) == [4]
    stage.house().run("schedule")
    assert len(stage.log.read(4)) == 4
    with pytest.raises((UnknownVersion, EventLogDown)):
        stage.log.read(6)
    stage.house(keep_candidates_days=5).run("schedule")
    with pytest.raises((UnknownVersion, EventLogDown)):
        stage.log.read(4)


def test_the_data_of_a_pinned_model_is_kept(stage: Stage) -> None:
    """However old, refused or never judged it is."""
    stage.registry.register(replace(model("old"), data_version=4, created_time=NOW - timedelta(days=400)))
    stage.registry.pin(ModelVersion("old"), Pin("ada", "an audit"))
    stage.house().run("schedule")
    assert len(stage.log.read(4)) == 4
    stage.registry.pin(ModelVersion("old"), None)
    stage.house().run("schedule")
    with pytest.raises((UnknownVersion, EventLogDown)):
        stage.log.read(4)


def test_an_erasure_of_which_a_date_is_left_stays_open(stage: Stage) -> None:
    class Busy(DeltaLogKeeper):
        def erase(self, wishes: Sequence[Erasure], keep_going: Callable[[], bool], *, dry_run: bool) -> Erased:
            return Erased(0, 0, 1)

    stage.users.request_erasures([Erasure(ADA, NOW_US), Erasure(UserId("nobody"), 0)])
    stage.clock.advance(3_600)
    stage.house(Busy(stage.folder, target_file_bytes=1_000_000, min_small_files=2)).run("schedule")
    assert stage.users.open_erasures() == [Erasure(ADA, NOW_US)]


def test_what_comes_after_an_erasure_was_fulfilled_is_erased_and_its_wish_opened_again(stage: Stage) -> None:
    """Law 7: a writer that was away for days, a replay or an import brings back what was erased; never for good."""
    wish = Erasure(ADA, NOW_US)
    stage.users.request_erasures([wish])
    stage.clock.advance(3_600)
    stage.house().run("schedule")
    assert stage.users.open_erasures() == []
    stage.log.append(LogBatch([Interaction(EventId("late"), ADA, ItemId("book"), "view", NOW_US - HOUR_US)]))
    stage.log.append(LogBatch([Interaction(EventId("new"), ADA, ItemId("book"), "view", NOW_US + HOUR_US)]))
    run = stage.house(min_age_h=24).run("schedule")
    assert run is not None
    assert "1 of them were fulfilled before something came late" in run.detail
    assert stage.ids() == ["bob0", "bob1", "bob2", "new"]
    assert stage.users.open_erasures() == [wish], "the older version still has it"
    stage.clock.advance(25 * 3_600)
    stage.house().run("schedule")
    assert stage.users.open_erasures() == []
    assert stage.keeper.held(wish) == Held(0, 0, 0)


def test_an_append_between_the_erasure_and_the_look_keeps_the_wish_open(stage: Stage) -> None:
    """Closed means that no file holds the user, those of the newest version included."""

    class Interrupted(DeltaLogKeeper):
        def compact(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Compacted:
            stage.log.append(LogBatch([Interaction(EventId("late"), ADA, ItemId("book"), "view", NOW_US - HOUR_US)]))
            return Compacted(0, 0, 0)

    wish = Erasure(ADA, NOW_US)
    stage.users.request_erasures([wish])
    stage.clock.advance(3_600)
    stage.house(Interrupted(stage.folder, target_file_bytes=1_000_000, min_small_files=2)).run("schedule")
    assert stage.users.open_erasures() == [wish]
    stage.house().run("schedule")
    assert stage.users.open_erasures() == []


def test_half_a_file_opens_no_wish_again(stage: Stage) -> None:
    """A writer is at one every night; a wish that is open waits for it, one that was fulfilled is not in doubt."""
    fulfilled, waiting = Erasure(ADA, NOW_US), Erasure(UserId("nobody"), NOW_US)
    stage.users.request_erasures([fulfilled])
    stage.clock.advance(3_600)
    stage.house().run("schedule")
    half = next(stage.folder.glob("event_date=*")) / "part-half.parquet"
    half.write_bytes(b"PAR1")
    stage.users.request_erasures([waiting])
    stage.house(min_age_h=1).run("schedule")
    assert stage.users.open_erasures() == [waiting]


@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_a_lagging_writer_brought_back_online_is_forgotten_again(stage: Stage, is_closed: bool) -> None:
    stage.users.request_erasures([Erasure(ADA, NOW_US)])
    stage.clock.advance(3_600)
    if is_closed:
        stage.house().run("schedule")
    stage.online.apply(
        Interaction(EventId(name), ADA, ItemId(name), "view", NOW_US + hours * HOUR_US)
        for name, hours in (("lagged", -1), ("new", 1))
    )
    stage.house().run("schedule")
    assert [entry.event_id for entry in (await stage.online.read(ADA)).entries] == ["new"]
    assert stage.users.open_erasures() == []


def test_an_erasure_waits_for_an_online_store_that_is_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(wishes: Sequence[Erasure]) -> None:
        raise FeatureStoreDown("Redis does not answer.")

    wish = Erasure(ADA, NOW_US)
    stage.users.request_erasures([wish])
    stage.clock.advance(3_600)
    monkeypatch.setattr(stage.online, "forget", away)
    run = stage.house().run("schedule")
    assert run is not None
    assert run.state is RunState.SUCCEEDED
    assert "because Redis did not answer" in run.detail
    assert stage.ids() == ["bob0", "bob1", "bob2"], "the log does not wait"
    assert stage.users.open_erasures() == [wish]
    monkeypatch.undo()
    stage.house().run("schedule")
    assert stage.users.open_erasures() == []


def test_a_user_is_found_wherever_something_is_kept(stage: Stage) -> None:
    """The answer that proves law 7: now, in older versions, online, and after all of it."""
    wish = Erasure(ADA, NOW_US - DAY_US)
    before = find(ADA, stage.users, stage.keeper, lambda _: 4)
    assert (before.request_time_us, before.log, before.num_online) == (None, Held(3, 0, 0), 4)
    stage.users.request_erasures([wish])
    assert find(ADA, stage.users, stage.keeper, None).log == Held(2, 0, 0), "of before the wish alone"
    stage.house(min_age_h=24).run("schedule")
    erased = find(ADA, stage.users, stage.keeper, None)
    assert (erased.log.num_events_now, erased.is_open, erased.is_forgotten) == (0, True, False)
    assert erased.log.num_events_before >= 2
    stage.clock.advance(3_600)
    stage.house().run("schedule")
    after = find(ADA, stage.users, stage.keeper, lambda _: 0)
    assert (after.log, after.is_open, after.is_forgotten) == (Held(0, 0, 0), False, True)
    assert not find(ADA, stage.users, stage.keeper, lambda _: 1).is_forgotten


def test_a_dry_run_changes_nothing_and_is_not_recorded(stage: Stage) -> None:
    stage.users.request_erasures([Erasure(ADA, NOW_US)])
    version = stage.log.version()
    report = stage.house().look()
    assert (report.erased.num_events, report.compacted.num_dates) == (3, 3)
    assert stage.log.version() == version
    assert len(stage.users.open_erasures()) == 1
    assert stage.runs.newest(9) == []


def test_two_at_once_are_one(stage: Stage) -> None:
    assert stage.runs.begin(KIND, "elsewhere") is not None
    assert stage.house().run("schedule") is None


@pytest.mark.parametrize("error", [EventLogDown("The disk is full; mend it."), ValueError("a bug")])
def test_a_run_that_breaks_is_recorded_as_failed(stage: Stage, error: Exception) -> None:
    class Broken(DeltaLogKeeper):
        def compact(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Compacted:
            raise error

    run = stage.house(Broken(Path("absent"), target_file_bytes=1, min_small_files=2)).run("schedule")
    assert run is not None
    assert run.state is RunState.FAILED
    assert stage.runs.newest(1)[0].state is RunState.FAILED


def test_a_run_that_is_stopped_deletes_nothing_and_says_so(stage: Stage) -> None:
    stage.stopping.set()
    run = stage.house().run("schedule")
    assert run is not None
    assert run.state is RunState.FAILED
    assert "ended before it was through" in run.detail
    assert len(stage.ids()) == 6


def test_a_step_longer_than_the_lease_keeps_it_and_a_lost_lease_ends_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "KEEP_ALIVE_S", 0.01)
    seen: list[bool] = []

    class Slow(DeltaLogKeeper):
        def compact(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Compacted:
            stage.clock.advance(50)
            run = stage.runs.newest(1)[0]
            wait_until(lambda: stage.runs.lease_left_s(run.run_id) > 59)
            seen.append(keep_going())
            stage.runs.finish(run, RunState.FAILED, detail="taken over")
            wait_until(lambda: not keep_going())
            return Compacted(0, 0, 0)

        def clean(
            self, pinned: Collection[int], wishes: Sequence[Erasure], min_age_h: int, *, dry_run: bool
        ) -> Cleaned:
            raise AssertionError("another run may be cleaning now")

    run = stage.house(Slow(Path("absent"), target_file_bytes=1, min_small_files=2)).run("schedule")
    assert run is not None
    assert run.state is RunState.FAILED
    assert seen == [True]
    assert stage.runs.newest(1)[0].detail == "taken over"
    assert stage.clock.now() == NOW + timedelta(seconds=50)
