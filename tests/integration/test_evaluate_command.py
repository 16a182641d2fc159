"""`nightjar evaluate` on small data sets: one object on standard output, or one sentence and an exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMAND = [sys.executable, "-m", "services.cli.main", "evaluate"]
DAY_S, START_S = 86_400, 1_700_000_000
NUM_USERS, NUM_EVENTS, NUM_ITEMS = 80, 30, 120
ASKED_FOR = {
    "protocol", "model", "users", "hr_at_10", "ndcg_at_10", "recall_at_20", "ndcg_at_20", "coverage", "fit_seconds",
    "peak_rss_mib",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody walks from an item to the next for forty days; each user's last five events are a test."""
    folder = tmp_path_factory.mktemp("walks")
    starts = np.random.default_rng(7).integers(NUM_ITEMS, size=NUM_USERS)
    table = {
        "user_id": np.repeat(np.arange(NUM_USERS), NUM_EVENTS),
        "item_id": ((starts[:, np.newaxis] + np.arange(NUM_EVENTS)) % NUM_ITEMS).ravel(),
        "timestamp": np.tile(np.linspace(START_S, START_S + 40 * DAY_S, NUM_EVENTS).astype(np.int64), NUM_USERS),
        "split": (["train"] * (NUM_EVENTS - 5) + ["test"] * 5) * NUM_USERS,
    }
    pq.write_table(pa.table(table), folder / "events.parquet")
    return folder


def run(home: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "NIGHTJAR_HOME": str(home)}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )


def figures(done: "subprocess.CompletedProcess[str]") -> Mapping[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found: Mapping[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("protocol", ["P1", "P2", "P3"])
def test_every_protocol_prints_one_object(tmp_path: Path, data: Path, protocol: str) -> None:
    found = figures(run(tmp_path, "--protocol", protocol, "--data", data, "--model", "popularity", "--json"))
    assert found.keys() >= ASKED_FOR
    assert (found["protocol"], found["model"], found["max_history"]) == (protocol, "popularity", NUM_EVENTS)
    assert 0 < found["users"] <= 80
    assert 0 <= found["ndcg_at_10"] <= found["hr_at_10"] <= 1


def test_a_sequence_model_finds_the_planted_walk_and_the_same_seed_the_same_figures(tmp_path: Path, data: Path) -> None:
    options = ["dim=16", "max_epochs=12", "learning_rate=0.02", "dropout=0.0"]
    command = ["--protocol", "P1", "--data", data, "--model", "sequence", "--seed", 5, "--json"]
    command += [word for option in options for word in ("--set", option)]
    first, second = (figures(run(tmp_path, *command)) for _ in range(2))
    assert first["hr_at_10"] > 0.8
    timings = {"fit_seconds", "peak_rss_mib"}
    assert {name: first[name] for name in first.keys() - timings} == {
        name: second[name] for name in second.keys() - timings
    }


def test_a_replay_says_what_nightly_training_gains(tmp_path: Path, data: Path) -> None:
    command = ["--protocol", "P3", "--replay", 3, "--data", data, "--model", "popularity", "--json"]
    found = figures(run(tmp_path, *command))
    assert found.keys() >= ASKED_FOR | {"frozen_ndcg_at_10", "popularity_ndcg_at_10", "gain_ci", "popularity_gain_ci"}
    low, high = found["gain_ci"]
    assert low <= found["ndcg_at_10"] - found["frozen_ndcg_at_10"] <= high
    assert 1 <= len(found["days"]) <= 3


def test_the_table_goes_to_standard_output_and_the_progress_does_not(tmp_path: Path, data: Path) -> None:
    done = run(tmp_path, "--protocol", "P1", "--data", data, "--model", "popularity")
    assert done.returncode == 0, done.stderr
    assert "popularity under P1" in done.stdout
    assert "NDCG@10" in done.stdout
    assert "measuring" not in done.stdout
    assert (tmp_path / "logs" / "evaluation.log").read_text().count("evaluation_started") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--protocol", "P1", "--data", "nowhere"], 1, "nowhere holds no events.parquet"),
        (["--protocol", "P1", "--data", "DATA", "--set", "dropout=2"], 2, "dropout: Input should be less than 1"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, data: Path, arguments: list[str], status: int, says: str
) -> None:
    done = run(tmp_path, *(str(data) if word == "DATA" else word for word in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.splitlines()[-1].startswith("nightjar: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_does_not_fit_the_protocol_says_what_is_missing(tmp_path: Path, data: Path) -> None:
    table = pq.read_table(data / "events.parquet")
    pq.write_table(table.drop_columns(["split"]), tmp_path / "events.parquet")
    done = run(tmp_path / "home", "--protocol", "P2", "--data", tmp_path, "--model", "popularity", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "P2 needs a split that comes with the data" in done.stderr
