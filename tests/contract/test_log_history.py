"""The LogHistory port: the log's newest state, and the one it had at an earlier moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.commits import DeltaLogHistory
from services.domain.errors import EventLogDown
from services.domain.log_history import LogState
from services.domain.ports import LogHistory
from services.domain.streams import Counts, LogBatch, Partition, Progress
from tests.fakes.clock import START
from tests.fakes.log_history import FakeLogHistory

FIRST, SECOND, OTHER = (Partition("events", number) for number in range(3))
MakeHistory = Callable[[int], LogHistory]


def upto(offset: int) -> Progress:
    return Progress(offset, Counts(read=offset, logged=offset), 1_000_000 * offset)


@pytest.fixture(params=["fake", "delta"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeHistory:
    """A history of so many commits, the n-th of which stored the first partition up to n."""

    def fake(num_commits: int) -> LogHistory:
        return FakeLogHistory(
            [LogState(n, START + timedelta(seconds=n), {FIRST: upto(n)}) for n in range(1, num_commits + 1)]
        )

    def delta(num_commits: int) -> LogHistory:
        log = DeltaEventLog(tmp_path / "log")
        for n in range(1, num_commits + 1):
            log.progress([FIRST])
            log.append(LogBatch([], {FIRST: upto(n)}))
        return DeltaLogHistory(tmp_path / "log")

    return fake if request.param == "fake" else delta


def test_a_log_that_does_not_exist_has_no_state(make: MakeHistory) -> None:
    history = make(0)
    assert history.now([FIRST]) is None
    assert history.before(datetime.now(UTC), [FIRST]) is None


def test_now_is_the_newest_commit(make: MakeHistory) -> None:
    state = make(3).now([FIRST, SECOND])
    assert state is not None
    assert (state.version, state.progress) == (3, {FIRST: upto(3)})


def test_before_is_the_newest_commit_up_to_a_moment(make: MakeHistory) -> None:
    history = make(5)
    newest = history.now([FIRST])
    assert newest is not None
    assert history.before(newest.commit_time, [FIRST, OTHER]) == newest
    earlier = history.before(newest.commit_time - timedelta(milliseconds=1), [FIRST])
    assert earlier is None or earlier.version < newest.version
    assert history.before(START - timedelta(days=1), [FIRST]) is None


def test_each_earlier_state_is_that_of_its_own_commit(tmp_path: Path) -> None:
    log, history = DeltaEventLog(tmp_path / "log"), DeltaLogHistory(tmp_path / "log")
    found = []
    for n in range(1, 4):
        log.progress([FIRST])
        log.append(LogBatch([], {FIRST: upto(n)}))
        state = history.now([FIRST])
        assert state is not None
        found.append(state)
    for state in found:
        known = history.before(state.commit_time, [FIRST])
        assert known is not None
        assert known.progress[FIRST].next_offset == known.version


def test_a_log_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log" / "_delta_log").mkdir(parents=True)
    (tmp_path / "log" / "_delta_log" / f"{0:020}.json").write_text("{broken")
    with pytest.raises(EventLogDown, match="cannot be read"):
        DeltaLogHistory(tmp_path / "log").now([FIRST])
