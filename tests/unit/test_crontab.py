"""What a cron expression means: what it means to cron."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from services.crontab import night_trigger
from services.domain.errors import InvalidSettings
from services.settings import load

MONDAY = datetime(2026, 3, 2, tzinfo=ZoneInfo("UTC"))


def _next(expression: str, after: datetime = MONDAY, zone: str = "UTC") -> str:
    return f"{night_trigger(expression, zone).get_next_fire_time(None, after):%a %d %H:%M %z}"


def test_a_nightly_expression_fires_in_its_time_zone() -> None:
    assert _next("0 2 * * *") == "Mon 02 02:00 +0000"
    assert _next("30 1 * * *", zone="Asia/Tokyo") == "Tue 03 01:30 +0900"


@pytest.mark.parametrize(
    ("weekdays", "first"),
    [
        ("0", "Sun"),
        ("sun", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("7", "Sun"),
        ("2-4", "Tue"),
        ("6,0", "Sat"),
        ("*/3", "Wed"),  # 0, 3, 6
        ("5-7", "Fri"),
        ("4/2", "Thu"),
        ("tue-fri", "Tue"),
        ("Fri-Sun", "Fri"),
        ("sun-tue", "Mon"),
        ("7-7", "Sun"),
        ("*", "Mon"),
    ],
)
def test_weekdays_count_from_sunday(weekdays: str, first: str) -> None:
    assert _next(f"0 2 * * {weekdays}").startswith(first)


def test_a_time_that_the_clock_change_skips_still_fires_that_night() -> None:
    evening = datetime(2026, 3, 28, 18, tzinfo=ZoneInfo("Europe/Berlin"))
    first = night_trigger("30 2 * * *", "Europe/Berlin").get_next_fire_time(None, evening)
    assert f"{first.astimezone(ZoneInfo('UTC')):%d %H:%M}" == "29 01:30"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "0 fields"),
        ("0 2 * *", "4 fields"),
        ("0 2 * * * *", "6 fields"),
        ("61 2 * * *", "no cron expression"),
        ("*/0 2 * * *", "no cron expression"),
        ("0 2 * * 5-1", "names no weekday"),
        ("0 2 * * */0", "names no weekday"),
        ("0 2 * * 1-5/0", "names no weekday"),
        ("0 2 * * 8", "is no weekday"),
        ("0 2 * * mon,,tue", "is no weekday"),
        ("0 2 * * someday", "is no weekday"),
        ("0 2 30 2 *", "never comes"),
        ("a b c d e", "is no weekday"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_a_sentence(expression: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        night_trigger(expression, "UTC")


@pytest.mark.parametrize("weekdays", ["0", "7", "sun", "5-7"])
def test_the_settings_take_what_the_scheduler_takes(monkeypatch: pytest.MonkeyPatch, weekdays: str) -> None:
    monkeypatch.setenv("NIGHTJAR_SCHEDULE__NIGHTLY_CRON", f"0 2 * * {weekdays}")
    assert load().schedule.nightly_cron == f"0 2 * * {weekdays}"


@pytest.mark.parametrize("expression", ["0 2 * * */0", "0 2 * * 8", "0 2 30 2 *", "every night"])
def test_the_settings_refuse_what_the_scheduler_refuses(monkeypatch: pytest.MonkeyPatch, expression: str) -> None:
    monkeypatch.setenv("NIGHTJAR_SCHEDULE__NIGHTLY_CRON", expression)
    with pytest.raises(InvalidSettings, match="NIGHTJAR_SCHEDULE__NIGHTLY_CRON"):
        load()
