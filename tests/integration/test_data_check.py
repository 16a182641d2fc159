"""The check of a real Delta log by its own process, and `nightjar data check` on top of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.adapters.delta_log import DeltaEventLog
from services.domain.streams import LogBatch
from services.settings import Settings, load
from tests.fakes.daily_events import all_of, even_days, lost

CHECKING = [sys.executable, "-m", "services.training.checking"]
CLI = [sys.executable, "-m", "services.cli.main", "data", "check"]
VOLUMES = {"volume", "volume:view", "volume:click", "volume:rating"}
NUM_DAYS = 30


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Thirty days until now: the newest version of the log ends with a day that lost half of its events, the version
    before it with the day before.
    """
    settings = load(home=tmp_path_factory.mktemp("home"))
    days = even_days(NUM_DAYS, until=datetime.now(UTC))
    log = DeltaEventLog(settings.log_folder)
    good = log.append(LogBatch(all_of(days[:-1])))
    log.append(LogBatch(lost(0.5)(days[-1], np.random.default_rng(1))))
    assert good == log.version() - 1
    return settings


def said(settings: Settings, *arguments: str, command: list[str] = CHECKING, **more: str) -> Mapping[str, Any]:
    environment = {**os.environ, "NIGHTJAR_HOME": str(settings.home_folder), **more}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    last: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**last, "status": done.returncode, "log": done.stderr}


def broken(outcome: Mapping[str, Any]) -> set[str]:
    return {finding["rule"] for finding in outcome["findings"] if not finding["passed"]}


def test_a_day_that_lost_half_its_events_is_found(settings: Settings) -> None:
    outcome = said(settings)
    assert (outcome["event"], outcome["passed"], outcome["status"]) == ("done", False, 0)
    assert broken(outcome) == VOLUMES
    assert outcome["num_events"] == NUM_DAYS * 2_000 - 1_000
    assert "data_check_broken" in outcome["log"]


def test_an_older_version_of_the_log_is_checked_as_it_was(settings: Settings) -> None:
    """The bad day is not in it: what is pinned is what is checked."""
    newest = said(settings)["data_version"]
    outcome = said(settings, "--data-version", str(newest - 1))
    assert outcome["passed"] is True
    assert outcome["num_events"] == (NUM_DAYS - 1) * 2_000


def test_the_bounds_are_settings(settings: Settings) -> None:
    assert said(settings, NIGHTJAR_CHECKS__MIN_VOLUME_SHARE="0.3")["passed"] is True


def test_as_of_another_day_the_log_is_stale_or_of_the_future(settings: Settings) -> None:
    assert "freshness" in broken(said(settings, "--as-of", "2999-01-01"))
    outcome = said(settings, "--as-of", "2001-01-01")
    assert (outcome["event"], outcome["reason"], outcome["status"]) == ("failed", "NOT_ENOUGH_DATA", 1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data-version", "99"], "UNKNOWN_VERSION"),
        (["--data-version=-1"], "INVALID_REQUEST"),
        (["--as-of", "yesterday"], "INVALID_REQUEST"),
    ],
)
def test_what_cannot_be_checked_fails_in_one_line(settings: Settings, arguments: list[str], reason: str) -> None:
    outcome = said(settings, *arguments)
    assert (outcome["event"], outcome["reason"], outcome["status"]) == ("failed", reason, 1)
    assert "Traceback" not in outcome["log"]


def test_a_home_without_a_log_fails_and_a_wrong_setting_too(tmp_path: Path) -> None:
    outcome = said(load(home=tmp_path))
    assert (outcome["event"], outcome["reason"], outcome["status"]) == ("failed", "NOT_ENOUGH_DATA", 1)
    outcome = said(load(home=tmp_path), NIGHTJAR_CHECKS__MAX_VOLUME_SHARE="0.5")
    assert (outcome["event"], outcome["reason"], outcome["status"]) == ("failed", "INVALID_SETTINGS", 1)
    assert "above 1" in outcome["message"]


def test_the_command_ends_with_1_and_tells_people_what_to_do(settings: Settings) -> None:
    environment = {**os.environ, "NIGHTJAR_HOME": str(settings.home_folder), "COLUMNS": "80"}
    done = subprocess.run(CLI, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "broken" in done.stdout
    assert "nightjar ingest status" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("is not fit to train on.")


def test_the_command_as_json_is_what_the_process_said(settings: Settings) -> None:
    outcome = said(settings, "--json", command=CLI)
    assert (outcome["passed"], outcome["status"]) == (False, 1)
    assert broken(outcome) == VOLUMES
    good = said(settings, "--data-version", str(outcome["data_version"] - 1), "--json", command=CLI)
    assert (good["passed"], good["status"]) == (True, 0)


def test_the_command_says_in_one_sentence_what_it_cannot_check(settings: Settings) -> None:
    environment = {**os.environ, "NIGHTJAR_HOME": str(settings.home_folder)}
    for arguments, status in ((["--data-version", "99"], 1), (["--as-of", "yesterday"], 2)):
        done = subprocess.run([*CLI, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert done.stderr.splitlines()[-1].startswith("nightjar: ")


def test_sigterm_ends_it_with_its_status(settings: Settings) -> None:
    environment = {**os.environ, "NIGHTJAR_HOME": str(settings.home_folder)}
    process = subprocess.Popen(CHECKING, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "process_started" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        out, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM
    assert out == ""
    assert "Traceback" not in log
