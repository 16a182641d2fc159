"""A month of nights on a shop's days, with real trainings, checks, judgements and promotions.

What is not real: the clock, and that a step's process begins with its libraries loaded.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import mean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.wiring import build_night
from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.night_book import SqlNightBook
from services.bundle_wiring import open_bundles
from services.crontab import night_trigger
from services.domain.interactions import Interaction
from services.domain.nights import NIGHT
from services.domain.runs import RunState
from services.domain.streams import LogBatch
from services.housekeeping import wiring as housekeeping
from services.registry.promotion import rollback
from services.registry.wiring import open_notice, open_registry
from services.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.poison import popularity_in_disguise, shuffled_items
from tests.fakes.shop import DAY_US, FIRST_DAY_US, Shop
from tests.forked_children import ForkedChildren

NUM_NIGHTS, DAYS_BEFORE = 30, 4
CRON, ZONE = "30 2 * * *", "Europe/Berlin"
LOST, SHUFFLED, DISGUISED, ROLLED_BACK = 12, 18, 26, 22
"""The nights before which half a day was lost, whose model learned from shuffled items, whose model is popularity that
says it is another, and after which an operator rolled back."""
BAD = (LOST, SHUFFLED, DISGUISED)
SETTINGS = {
    "TRAIN__KIND": "ease",
    "NIGHT__WATCH_S": "0",
    "NIGHT__RETRY_PAUSE_S": "0",
    "LOG_LEVEL": "warning",
}


@dataclass(frozen=True)
class Told:
    """What became of one night."""

    number: int
    state: RunState
    version: str | None
    detail: str
    live: str | None
    figures: Mapping[str, Any]
    """What judging measured of its challenger."""


@dataclass
class Month:
    """A shop, its log, and a scheduler whose clock moves from night to night."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = {**SETTINGS, "HOME": str(self.folder / "home")}
        environment = {f"NIGHTJAR_{name}": value for name, value in given.items()}
        for name, value in environment.items():
            self.monkeypatch.setenv(name, value)
        self.settings, self.shop = Settings(), Shop()
        self.clock = FakeClock(datetime.fromtimestamp(FIRST_DAY_US / 1e6, UTC))
        self.log = DeltaEventLog(self.settings.log_folder)
        self.registry, self.notice = open_registry(self.settings), open_notice(self.settings)
        self.children = ForkedChildren(self.folder, environment)
        engine = connect(self.settings.database_url)
        self.book = SqlNightBook(engine, self.clock)
        house = housekeeping.build(self.settings, lambda: False)
        self.night = build_night(self.settings, engine, self.clock, house, self.children, lambda: False, self._pause)

    def simulate(self) -> None:
        """Days pass, and every night starts when cron says so, over a change of the clocks."""
        trigger = night_trigger(CRON, ZONE)
        for _ in range(DAYS_BEFORE - 1):
            self._store(self.shop.day())
        for number in range(1, NUM_NIGHTS + 1):
            day = self.shop.day()
            self._store(day[::2] if number == LOST else day)
            self._move_to(trigger.get_next_fire_time(None, self._end_of(day)))
            self.children.poison = {SHUFFLED: shuffled_items, DISGUISED: popularity_in_disguise}.get(number)
            self.night.run("schedule")
            if number == ROLLED_BACK:
                rollback(self.registry, self.notice, "operator", "users complain")
            self._tell(number)

    def _tell(self, number: int) -> None:
        (run,) = self.night.runs.newest(1, NIGHT)
        rows = {row.name: row.outputs or {} for row in self.book.steps(run.run_id)}
        figures = rows.get("evaluate", {}).get("figures", {}).get(run.version, {})
        live = self.registry.live()
        self.told.append(
            Told(number, run.state, run.version, run.detail, None if live is None else live.version, figures)
        )

    def _store(self, day: list[Interaction]) -> None:
        self.log.append(LogBatch(day))

    def _end_of(self, day: list[Interaction]) -> datetime:
        return datetime.fromtimestamp((day[0].event_time_us // DAY_US + 1) * DAY_US / 1e6, UTC)

    def _move_to(self, moment: datetime) -> None:
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def _pause(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        return False


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Month:
    with pytest.MonkeyPatch.context() as monkeypatch:
        month = Month(tmp_path_factory.mktemp("month"), monkeypatch)
        month.simulate()
    return month


@pytest.mark.timeout(900)
def test_every_night_of_the_month_ends_and_all_but_the_bad_ones_with_a_new_live_model(month: Month) -> None:
    assert len(month.told) == NUM_NIGHTS
    for told in month.told:
        expected = RunState.REFUSED if told.number in BAD else RunState.SUCCEEDED
        assert told.state is expected, told
    good = [told for told in month.told if told.number not in (*BAD, ROLLED_BACK)]
    assert all(told.live == told.version for told in good)
    assert len({told.version for told in good}) == len(good)


def test_nights_start_at_their_local_time_also_after_the_clocks_changed(month: Month) -> None:
    starts = [run.start_time.astimezone(ZoneInfo(ZONE)) for run in month.night.runs.newest(NUM_NIGHTS, NIGHT)]
    assert len({start.date() for start in starts}) == NUM_NIGHTS
    assert {(start.hour, start.minute) for start in starts if start.date() != date(2026, 3, 29)} == {(2, 30)}
    assert (3, 30) in {(start.hour, start.minute) for start in starts}  # on the 29th 2:30 is skipped


@pytest.mark.parametrize(
    ("number", "step", "words"),
    [
        (LOST, "check", "events"),
        (SHUFFLED, "gate", "over popularity's"),
        (DISGUISED, "gate", "over popularity's"),
    ],
)
def test_a_bad_night_is_refused_for_the_right_reason_and_the_model_of_before_serves_on(
    month: Month, number: int, step: str, words: str
) -> None:
    before, told = month.told[number - 2], month.told[number - 1]
    assert told.detail.startswith(f"{step}: ")
    assert words in told.detail
    assert told.live == before.live


def test_the_night_after_a_rollback_starts_from_what_is_live_again(month: Month) -> None:
    rolled_back, after = month.told[ROLLED_BACK - 1], month.told[ROLLED_BACK]
    assert rolled_back.live == month.told[ROLLED_BACK - 2].live
    changes = [(change.version, change.restores) for change in month.registry.assignments(1_000)]
    assert (rolled_back.live, ROLLED_BACK - 1 - 2) in changes or any(restores for _, restores in changes)
    assert after.figures["champion_ndcg_at_10"] > 0


def test_every_new_day_is_answered_better_by_the_new_model_than_by_the_last(month: Month) -> None:
    """What nightly retraining is for: fashions change, and a model of yesterday knows less of today."""
    gains = [
        told.figures["ndcg_vs_champion_at_10"] for told in month.told if told.number > 1 and told.number not in BAD
    ]
    sys.stdout.write(f"mean gain over the model of the night before: {mean(gains):+.4f} NDCG@10\n")
    assert mean(gains) > 0


def test_what_is_live_at_the_end_is_whole(month: Month) -> None:
    live = month.registry.live()
    assert live is not None
    model = month.registry.get(live.version)
    assert open_bundles(month.settings).fetch(model.location).is_dir()
    assert model.verdict is not None
    assert model.verdict.passed
