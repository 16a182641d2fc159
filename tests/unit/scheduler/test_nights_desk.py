"""What the nights' desk refuses, and in which words; the same for the command line and for gRPC."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from scheduler.nights_desk import NightsDesk
from services.domain.errors import CatalogDown, InvalidRequest, NightNotResumable, UnknownNight
from services.domain.nights import NIGHT, StepState
from services.domain.runs import NOBODY, Run, RunState
from tests.fakes.clock import FakeClock
from tests.fakes.night_book import FakeNightBook
from tests.fakes.run_book import FakeRunBook


class AwayTable:
    """A timetable whose database is gone."""

    def get_job(self, job_id: str) -> Any:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    pause_job = resume_job = get_job


class Nights:
    def __init__(self) -> None:
        clock = FakeClock()
        self.runs = FakeRunBook(clock)
        self.book = FakeNightBook(clock, self.runs)
        table: Any = AwayTable()
        self.desk = NightsDesk(table, self.runs, self.book, lambda _: True)

    def ended(self, state: RunState, step: str = "pin", step_state: StepState = StepState.FAILED) -> Run:
        """A night that ended so, at that step."""
        run = self.runs.begin(NIGHT, "schedule")
        assert run is not None
        self.book.begin(run, step, {})
        self.book.end(run, step, step_state, detail="Half of the usual events came.")
        self.runs.finish(run, state)
        return run


def test_a_night_that_failed_waits_for_a_scheduler_with_new_attempts() -> None:
    nights = Nights()
    run = nights.ended(RunState.FAILED)
    resumed = nights.desk.resume(None, "ann")
    assert (resumed.run_id, resumed.state, resumed.holder) == (run.run_id, RunState.RUNNING, NOBODY)
    assert [step.attempts for step in nights.book.steps(run.run_id)] == [0]


def test_refused_data_is_accepted_only_for_a_reason_which_is_kept_with_a_name() -> None:
    nights = Nights()
    run = nights.ended(RunState.REFUSED, "check", StepState.REFUSED)
    with pytest.raises(InvalidRequest, match="Half of the usual events came") as raised:
        nights.desk.resume(run.run_id, "ann", "  ")
    assert raised.value.field == "accept_reason"
    assert nights.desk.night().state is RunState.REFUSED
    nights.desk.resume(run.run_id, "ann", " a public holiday ")
    (check,) = nights.book.steps(run.run_id)
    assert (check.state, check.detail) == (StepState.ACCEPTED, "Accepted by ann: a public holiday")


def test_what_ended_as_it_should_is_not_gone_on_with() -> None:
    """No reason brings in a model that the gate refused; that is an override of the gate, with its own record."""
    nights = Nights()
    nights.ended(RunState.REFUSED, "gate", StepState.REFUSED)
    with pytest.raises(NightNotResumable, match="ended as it should"):
        nights.desk.resume(None, "ann", "because")
    assert nights.desk.night().state is RunState.REFUSED


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.RUNNING])
def test_a_night_that_did_well_or_goes_on_is_left_alone(state: RunState) -> None:
    nights = Nights()
    run = nights.ended(RunState.SUCCEEDED)
    if state is RunState.RUNNING:
        assert nights.runs.begin(NIGHT, "schedule") is not None
    with pytest.raises(NightNotResumable, match="nothing to go on with"):
        nights.desk.resume(None, "ann")
    assert nights.desk.night(run.run_id).state is RunState.SUCCEEDED


def test_an_older_night_is_over_for_good() -> None:
    nights = Nights()
    older = nights.ended(RunState.FAILED)
    nights.ended(RunState.FAILED)
    with pytest.raises(NightNotResumable, match="not the newest"):
        nights.desk.resume(older.run_id, "ann")


def test_an_older_night_that_was_refused_keeps_its_refusal() -> None:
    """Nothing is accepted of a night that does not go on."""
    nights = Nights()
    older = nights.ended(RunState.REFUSED, "check", StepState.REFUSED)
    nights.ended(RunState.FAILED)
    steps = nights.desk.steps(older)
    with pytest.raises(NightNotResumable, match="not the newest"):
        nights.desk.resume(older.run_id, "ann", "they are right")
    assert nights.desk.steps(older) == steps


def test_an_unknown_night_is_told_which_there_are() -> None:
    nights = Nights()
    with pytest.raises(UnknownNight, match="There is no night yet"):
        nights.desk.night()
    run = nights.ended(RunState.FAILED)
    with pytest.raises(UnknownNight, match=f"Night 77 is not known; the newest one is {run.run_id}"):
        nights.desk.night(77)


def test_nights_before_one_are_the_next_page() -> None:
    nights = Nights()
    runs = [nights.ended(RunState.FAILED) for _ in range(4)]
    assert [run.run_id for run in nights.desk.newest(2, before=runs[3].run_id)] == [runs[2].run_id, runs[1].run_id]
    assert nights.desk.newest(2, before=runs[0].run_id) == []


def test_a_timetable_without_its_database_is_the_catalog_that_is_down() -> None:
    """Which callers over gRPC are told as UNAVAILABLE, to try again."""
    desk = Nights().desk
    for ask in (desk.planned, desk.pause_nights, desk.resume_nights, desk.run_now):
        with pytest.raises(CatalogDown, match="connection refused"):
            ask()
