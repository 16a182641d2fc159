"""What a night starts from: the last model, unless it would forget a wish, see the future, or copy a sibling."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.domain.errors import UnfitToStartFrom
from services.domain.event_columns import EventColumns
from services.domain.ids import ModelVersion, UserId
from services.domain.models import Finding, Verdict
from services.domain.users import Erasure
from services.training.kinds.factory import make_model
from services.training.model import TrainableModel
from tests.fakes.clock import START
from tests.fakes.event_log import FakeEventLog
from tests.fakes.planted import GAP_US, START_US, planted_events
from tests.unit.training.job_bench import Run, again, facts_of


def test_the_next_night_starts_from_the_last_one(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    first = Run(tmp_path, quick)
    model = first.job.run()
    second = again(first)
    following = second.job.run()
    facts = facts_of(second, following)
    assert (facts["mode"], facts["started_from"], facts["full_time"]) == (
        "incremental", model.version, START.isoformat(),
    )  # fmt: skip
    assert facts_of(first, model)["mode"] == "full"
    assert [line["mode"] for line in second.said if line.get("name") == "fit"] == ["incremental"]
    third = again(second, days_later=2)
    facts = facts_of(third, third.job.run())
    assert (facts["started_from"], facts["full_time"]) == (following.version, START.isoformat())


@pytest.mark.parametrize(
    ("origin", "mode"),
    [("night-2/warm", "full"), ("night-3/full", "incremental"), ("", "incremental"), ("night-2", "incremental")],
    ids=["the same night", "another night", "by hand", "no night"],
)
def test_nothing_starts_from_a_challenger_of_its_own_night(
    tmp_path: Path, quick: Callable[[], TrainableModel], origin: str, mode: str
) -> None:
    """It has learned all that there is, so the two would be copies."""
    first = Run(tmp_path, quick)
    replace(first.job, origin="night-2/full").run()
    second = again(first)
    job = replace(second.job, origin=origin, starting=replace(second.job.starting, origin=origin))
    assert facts_of(second, job.run())["mode"] == mode


def test_many_challengers_of_a_night_do_not_hide_what_was_before_it(
    tmp_path: Path, quick: Callable[[], TrainableModel]
) -> None:
    first = Run(tmp_path, quick)
    model = first.job.run()
    for number in range(20):
        sibling = replace(
            model,
            version=ModelVersion(f"sibling-{number}"),
            origin=f"night-2/{number}",
            created_time=START + timedelta(1),
        )
        first.registry.register(sibling)
    second = again(first)
    origin = "night-2/last"
    job = replace(second.job, origin=origin, starting=replace(second.job.starting, origin=origin))
    assert job.run().parent == model.version


def test_after_a_week_a_model_is_built_from_nothing_again(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    first = Run(tmp_path, quick)
    first.job.run()
    second = again(first, days_later=7)
    assert facts_of(second, second.job.run())["mode"] == "full"


def test_who_asked_to_be_forgotten_is_in_no_later_model(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    """Law 7: the earlier model learned from what they did, so nothing starts from it."""
    first = Run(tmp_path, quick)
    first.job.run()
    first.erasures.request_erasures([Erasure(UserId("user-7"), int(START.timestamp() * 1e6) + 1)])
    with pytest.raises(UnfitToStartFrom, match="forgotten"):
        again(first, "incremental").job.run()
    second = again(first)
    assert facts_of(second, second.job.run())["mode"] == "full"
    third = again(first, days_later=2)
    assert facts_of(third, third.job.run())["mode"] == "incremental", "the second one never knew of them"


def test_a_wish_that_comes_late_counts_all_the_same(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    """Law 7: asked before the training from nothing began, and heard of after it."""
    first = Run(tmp_path, quick)
    first.job.run()
    first.erasures.request_erasures([Erasure(UserId("user-7"), int(START.timestamp() * 1e6) - 1)])
    with pytest.raises(UnfitToStartFrom, match="forgotten"):
        again(first, "incremental").job.run()


def test_a_wish_that_comes_while_a_training_reads_the_log_counts(
    tmp_path: Path, quick: Callable[[], TrainableModel]
) -> None:
    """Law 7: the training from nothing did not know of it any more."""

    class SlowLog(FakeEventLog):
        """Somebody asks while it is read."""

        def read(self, version: int, until_us: int | None = None) -> EventColumns:
            first.erasures.request_erasures([Erasure(UserId("user-7"), int(START.timestamp() * 1e6))])
            return super().read(version, until_us)

    first = Run(tmp_path, quick, SlowLog(planted_events(60, 20)))
    first.job.run()
    with pytest.raises(UnfitToStartFrom, match="forgotten"):
        again(first, "incremental").job.run()


def test_a_run_of_the_past_does_not_start_from_a_model_of_the_present(
    tmp_path: Path, quick: Callable[[], TrainableModel]
) -> None:
    """Law 8: that model has seen what this run holds out."""
    first = Run(tmp_path, quick)
    first.job.run()
    second = again(first)
    model = second.job.run(until_us=START_US + 800 * GAP_US)
    assert facts_of(second, model)["mode"] == "full"


def test_a_refused_model_is_nothing_to_start_from(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    first = Run(tmp_path, quick)
    model = first.job.run()
    first.registry.judge(model.version, Verdict((Finding("coverage", 0.0, 0.1, False, "too little"),)))
    second = again(first)
    assert facts_of(second, second.job.run())["mode"] == "full"


def test_with_nothing_to_start_from_incremental_says_so(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    with pytest.raises(UnfitToStartFrom, match="no earlier model"):
        again(Run(tmp_path, quick), "incremental").job.run()


def test_ials_starts_from_its_last_night_too(tmp_path: Path) -> None:
    """Through the same seam as the encoder: registry, bundle, manifest."""
    first = Run(tmp_path, lambda: make_model("ials", dim=8, num_epochs=2))
    version = first.job.run().version
    second = again(first)
    assert facts_of(second, second.job.run())["started_from"] == version
