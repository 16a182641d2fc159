"""The check of a log: each fault of its newest day breaks its own rule, and a day like any other breaks none."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.domain.errors import NotEnoughData, UnknownVersion
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.settings.checks import CheckSettings
from services.training.checking.check import Checked, check
from tests.fakes.clock import START
from tests.fakes.daily_events import (
    DAY_US,
    NUM_ITEMS,
    TYPES,
    Change,
    Day,
    added,
    all_of,
    altered,
    even_days,
    lost,
    microseconds,
)
from tests.fakes.event_log import FakeEventLog

VOLUMES = {"volume", "volume:view", "volume:click", "volume:rating"}
NUM_DAYS = 16


def checked(rows: Day, now: datetime = START, **settings: Any) -> Checked:
    log = FakeEventLog(rows)
    return check(log, log.version(), now, TYPES, CheckSettings(**settings), lambda _: None)


def broken(of: Checked) -> set[str]:
    return {finding.rule for finding in of.findings if not finding.passed}


def with_newest(change: Change, num_days: int = NUM_DAYS) -> Day:
    *before, newest = even_days(num_days)
    return all_of([*before, change(newest, np.random.default_rng(1))])


def on_new_item(event: Interaction, number: int) -> Interaction:
    return event._replace(item_id=ItemId(f"new-{number % 20}"))


def turned(event: Interaction, _: int) -> Interaction:
    """The most popular item's events on the least popular, and so on."""
    return event._replace(item_id=ItemId(f"item-{NUM_ITEMS - 1 - int(event.item_id.removeprefix('item-'))}"))


def again(event: Interaction, number: int) -> Interaction:
    return event._replace(event_id=EventId(f"again-{number}"))


def by_few(event: Interaction, number: int) -> Interaction:
    return event._replace(user_id=UserId(f"user-{number % 40}"))


def ahead(event: Interaction, number: int) -> Interaction:
    return event._replace(event_time_us=microseconds(START) + 3_600_000_000 + number)


def without_value(event: Interaction, _: int) -> Interaction:
    return event._replace(value=None)


def by_nobody(event: Interaction, _: int) -> Interaction:
    return event._replace(user_id=UserId(""))


def of_a_new_type(event: Interaction, number: int) -> Interaction:
    return event._replace(
        event_id=EventId(f"swipe-{number}"), event_time_us=event.event_time_us - 1, event_type="swipe"
    )


FAULTS: Mapping[str, tuple[Change, set[str]]] = {
    "half of the day's events lost": (lost(0.5), VOLUMES),
    "the day sent twice under other ids": (added(1, again), {"duplicates"}),
    "one producer sends twice": (added(0.05, again), {"duplicates"}),
    "half of the ratings lost": (
        lambda day, _: [event for n, event in enumerate(day) if event.event_type != "rating" or n % 2],
        {"volume:rating"},
    ),
    "few users do everything": (altered(1, by_few), {"users"}),
    "a catalogue replaced": (altered(1, on_new_item), {"unknown_items"}),
    "half of the events on new items": (altered(0.5, on_new_item), {"unknown_items"}),
    "ratings without values": (altered(0.3, without_value, "rating"), {"missing_values"}),
    "events of nobody": (altered(0.05, by_nobody), {"missing_ids"}),
    "a new event type": (added(0.4, of_a_new_type), {"type_drift"}),
    "item ids mixed up": (altered(1, turned), {"popularity_drift"}),
    "a clock that is ahead": (altered(0.05, ahead), {"future"}),
}


@pytest.mark.parametrize(("change", "rules"), FAULTS.values(), ids=FAULTS)
def test_a_fault_breaks_its_rule_and_no_other(change: Change, rules: set[str]) -> None:
    assert broken(checked(with_newest(change))) == rules


@pytest.mark.parametrize("seed", range(8))
def test_days_that_are_alike_break_nothing(seed: int) -> None:
    outcome = checked(all_of(even_days(NUM_DAYS, seed=seed)))
    assert outcome.passed
    assert {finding.rule for finding in outcome.findings} == {
        "freshness", "future", *VOLUMES, "users", "unknown_items", "missing_values", "missing_ids", "duplicates",
        "type_drift", "popularity_drift",
    }  # fmt: skip
    assert outcome.num_events == NUM_DAYS * 2_000
    assert outcome.newest_time == START


def test_a_little_of_everything_new_breaks_nothing() -> None:
    """A tenth of the events gone, new items, a few of a new type, double clicks, a clock that is a minute ahead."""

    def change(day: Day, random: np.random.Generator) -> Day:
        for each in (lost(0.1), altered(0.1, on_new_item), added(0.02, of_a_new_type), added(0.002, again)):
            day = each(day, random)
        return [*day[:-1], day[-1]._replace(event_time_us=day[-1].event_time_us + 60_000_000)]

    assert broken(checked(with_newest(change))) == set()


def test_a_broken_rule_says_what_is_wrong_and_what_to_do() -> None:
    (finding,) = [each for each in checked(with_newest(lost(0.5))).findings if each.rule == "volume"]
    assert finding.usual == 2_000
    assert finding.low == pytest.approx(1_200)
    assert finding.figure < 1_200
    assert "where 2,000 are usual" in finding.sentence
    assert "nightjar ingest status" in finding.sentence
    assert "NIGHTJAR_CHECKS__MIN_VOLUME_SHARE" in finding.sentence


def test_a_new_type_is_named() -> None:
    (finding,) = [each for each in checked(with_newest(added(0.4, of_a_new_type))).findings if not each.passed]
    assert "'swipe', 28" in finding.sentence


@pytest.mark.parametrize("hours", [1, 47])
def test_the_newest_event_may_be_somewhat_old(hours: int) -> None:
    assert checked(all_of(even_days(4)), START + timedelta(hours=hours)).passed


def test_a_log_that_stands_still_is_stale_and_nothing_else() -> None:
    outcome = checked(all_of(even_days(NUM_DAYS)), START + timedelta(hours=49))
    assert broken(outcome) == {"freshness"}
    assert outcome.findings[0].figure == pytest.approx(49)


def test_events_go_on_while_the_log_is_pinned() -> None:
    """The newest day is 24 hours whenever it ends, so at noon half a day is missing nowhere."""
    at_noon = microseconds(START) - DAY_US // 2
    rows = [event for event in all_of(even_days(NUM_DAYS)) if event.event_time_us <= at_noon]
    assert broken(checked(rows)) == set()


@pytest.mark.parametrize("num_days", [1, 2, 3])
def test_a_young_log_passes_and_says_so(num_days: int) -> None:
    """Of three days two lie whole before the newest one at most, whatever that one is like."""
    outcome = checked(with_newest(lost(0.5), num_days))
    assert outcome.passed
    assert sum("are needed to know what is usual" in finding.sentence for finding in outcome.findings) >= 8


def test_three_days_before_are_enough() -> None:
    assert broken(checked(with_newest(lost(0.5), 5))) == VOLUMES


def test_one_event_of_long_ago_makes_no_history() -> None:
    """Else the days between would be empty ones, and every day after them too many events."""
    stray = Interaction(EventId("stray"), UserId("ada"), ItemId("item-0"), "view", 1)
    outcome = checked([stray, *all_of(even_days(3))])
    assert outcome.passed
    assert "Not judged" in outcome.findings[2].sentence


@pytest.mark.parametrize(("kept", "rules"), [(1.0, set()), (0.25, VOLUMES)], ids=["whole", "part of it lost"])
def test_a_saturday_is_held_against_saturdays(kept: float, rules: set[str]) -> None:
    """A third of a weekday's events is usual then, and a quarter of that is not."""
    random = np.random.default_rng(3)
    days = [
        lost(1 - 0.35)(day, random) if back % 7 in (0, 1) else day
        for back, day in zip(reversed(range(NUM_DAYS)), even_days(NUM_DAYS), strict=True)
    ]
    days[-1] = lost(1 - kept)(days[-1], random)
    assert broken(checked(all_of(days))) == rules


def test_a_weekday_as_empty_as_a_saturday_is_not_usual() -> None:
    random = np.random.default_rng(3)
    days = [
        lost(1 - 0.35)(day, random) if back % 7 in (2, 3) or back == 0 else day
        for back, day in zip(reversed(range(NUM_DAYS)), even_days(NUM_DAYS), strict=True)
    ]
    assert broken(checked(all_of(days))) == VOLUMES


def test_one_bad_day_before_neither_hides_nor_makes_a_fault() -> None:
    """What is usual is a median."""
    days = even_days(NUM_DAYS)
    days[-2] = lost(0.9)(days[-2], np.random.default_rng(2))
    assert broken(checked(all_of(days))) == set()
    days[-1] = lost(0.5)(days[-1], np.random.default_rng(2))
    assert broken(checked(all_of(days))) == VOLUMES


def test_a_type_that_is_no_longer_declared_may_stop() -> None:
    """Taking it out of the settings is how an operator says that it ended."""
    days = even_days(NUM_DAYS)
    old = [
        event._replace(event_id=EventId(f"wave-{event.event_id}"), event_type="wave")
        for day in days[:-1]
        for event in day[::50]
    ]
    assert broken(checked([*all_of(days), *old])) == set()


OFF = {
    "half of the day's events lost": {"min_volume_share": 0, "max_volume_share": 0},
    "few users do everything": {"min_volume_share": 0, "max_volume_share": 0},
    "half of the events on new items": {"unknown_items_margin": 0},
    "ratings without values": {"missing_values_margin": 0},
    "events of nobody": {"missing_ids_margin": 0},
    "one producer sends twice": {"duplicates_margin": 0},
    "a new event type": {"max_type_drift": 0},
    "item ids mixed up": {"max_popularity_drift": 0},
    "a clock that is ahead": {"max_future_share": 0},
}


@pytest.mark.parametrize(("fault", "settings"), OFF.items(), ids=OFF)
def test_a_rule_can_be_switched_off(fault: str, settings: dict[str, Any]) -> None:
    change, rules = FAULTS[fault]
    outcome = checked(with_newest(change), **settings)
    assert outcome.passed
    off = {finding.rule for finding in outcome.findings if finding.sentence == "Not judged: its setting is 0."}
    assert rules <= off


def test_freshness_can_be_switched_off() -> None:
    assert checked(all_of(even_days(4)), START + timedelta(days=9_000), max_age_h=0).passed


def test_the_upper_bound_alone_still_finds_too_much() -> None:
    def twice_as_many(event: Interaction, number: int) -> Interaction:
        return event._replace(event_id=EventId(f"more-{number}"), event_time_us=event.event_time_us - 7)

    outcome = checked(with_newest(added(1, twice_as_many)), min_volume_share=0, max_volume_share=1.5)
    assert broken(outcome) == VOLUMES
    assert "sends its events again" in outcome.findings[2].sentence


def test_nothing_but_the_future_is_not_enough() -> None:
    with pytest.raises(NotEnoughData, match="clocks"):
        checked(all_of(even_days(2)), START - timedelta(days=9))


def test_an_empty_log_is_not_enough_and_a_version_that_never_was_is_unknown() -> None:
    with pytest.raises(NotEnoughData):
        checked([])
    with pytest.raises(UnknownVersion):
        check(FakeEventLog(all_of(even_days(1))), 7, START, TYPES, CheckSettings(), lambda _: None)


def test_how_far_it_is_is_reported() -> None:
    said: list[Mapping[str, Any]] = []
    log = FakeEventLog(all_of(even_days(30)))
    check(log, log.version(), START, TYPES, CheckSettings(), said.append)
    assert said == [{"event": "progress", "num_events": 50_000}, {"event": "progress", "num_events": 60_000}]
