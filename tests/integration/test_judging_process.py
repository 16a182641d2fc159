"""Two real trainings on a real log, then the process that sets them beside one another."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.user_directory import SqlUserDirectory
from services.domain.clock import SystemClock
from services.domain.ids import UserId
from services.domain.streams import LogBatch
from services.domain.users import Erasure
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.planted import planted_events

EVENTS = planted_events(120, 30)
SMALL = {
    "NIGHTJAR_TRAIN__DIM": "16",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "12",
    "NIGHTJAR_TRAIN__LEARNING_RATE": "0.02",
    "NIGHTJAR_TRAIN__BATCH_EVENTS": "384",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "8",
    "NIGHTJAR_TRAIN__INPUT_DROPOUT": "0.1",
    "NIGHTJAR_SCHEDULE__CHALLENGERS": '[{"name": "net"}, {"name": "knn", "kind": "item_knn"}]',
}


@dataclass(frozen=True)
class Home:
    folder: Path
    net: str
    knn: str
    data_version: int = 0
    later_version: int = 0

    def copied(self, folder: Path) -> "Home":
        """Another of the same content, to be spoilt."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def spoil(self, version: str) -> None:
        """One bit of its tables."""
        tables = self.folder / "bundles" / version / "tables.safetensors"
        content = bytearray(tables.read_bytes())
        content[-1] ^= 1
        tables.chmod(0o644)
        tables.write_bytes(content)


def run(folder: Path, module: str, *arguments: str) -> tuple[int, Sequence[Mapping[str, Any]]]:
    environment = {**os.environ, **SMALL, "NIGHTJAR_HOME": str(folder)}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def judged(home: Home, out: Path, *more: str, version: int | None = None) -> tuple[int, Sequence[Mapping[str, Any]]]:
    number = str(home.data_version if version is None else version)
    return run(home.folder, "services.training.judging", "--data-version", number, "--out", str(out), *more)


def training(name: str, data_version: int) -> Sequence[str]:
    """The arguments of a challenger's training."""
    return ("--challenger", name, "--data-version", str(data_version), "--origin", f"night-1/{name}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Both challengers of a night, trained on a version of the log after which more was stored."""
    folder = tmp_path_factory.mktemp("judging") / "home"
    log = DeltaEventLog(load(home=folder).log_folder)
    data_version = log.append(LogBatch(EVENTS))
    later_version = log.append(LogBatch(planted_events(120, 32)[len(EVENTS) :]))
    versions = []
    for name in ("net", "knn"):
        status, said = run(folder, "services.training", *training(name, data_version))
        assert (status, said[-1]["event"]) == (0, "done"), said
        versions.append(said[-1]["version"])
    return Home(folder, versions[0], versions[1], data_version, later_version)


def test_the_challenger_beats_the_champion_that_knows_no_order(home: Home, tmp_path: Path) -> None:
    """What is printed is what the gate reads, what is written has it all, and neither names anybody (law 7)."""
    out = tmp_path / "results" / "comparison.json"
    status, said = judged(home, out, "--champion", home.knn, "--challengers", home.net)
    assert status == 0, said
    assert [(line["name"], line.get("role")) for line in said[:-1]] == [
        ("read", None), ("judge", "champion"), ("judge", "challenger"),
    ]  # fmt: skip
    done = said[-1]
    assert (done["event"], done["champion"], done["champion_problem"]) == ("done", home.knn, "")
    figures = done["figures"][home.net]
    assert figures["ndcg_vs_champion_at_10_low"] > 0
    assert figures["ndcg_vs_week_popularity_at_10_low"] > 0.3
    assert figures["vocabulary_overlap"] == 1.0
    assert 0 < figures["changed_share_at_10"] < 1
    assert done["num_questions"] == figures["num_holdout_events"] == 360
    whole = json.loads(out.read_text(encoding="utf-8"))
    assert whole["figures"] == done["figures"]
    assert list(whole["versions"]) == [home.knn, home.net]
    assert whole["versions"][home.knn]["figures"]["ndcg_at_10"] == figures["champion_ndcg_at_10"]
    assert {each["name"] for each in whole["versions"][home.net]["slices"]} >= {"all", "tail items"}
    assert "user-" not in out.read_text(encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["comparison.json"]


def test_what_is_judged_is_what_was_measured_and_published(home: Home, tmp_path: Path) -> None:
    """The bundles' files, read back, say of the same questions what training said before it wrote them."""
    status, said = judged(home, tmp_path / "out.json", "--challengers", home.net, home.knn)
    assert status == 0, said
    registry = open_registry(load(home=home.folder))
    for version, figures in said[-1]["figures"].items():
        metrics = registry.get(version).metrics
        assert metrics.keys() - {"fit_s"} <= figures.keys()
        for name in metrics.keys() - {"fit_s"}:
            assert figures[name] == pytest.approx(metrics[name], abs=1e-3), name
    assert said[-1]["champion"] is None


def test_a_spoilt_champion_is_none_and_a_spoilt_challenger_an_error(home: Home, tmp_path: Path) -> None:
    spoilt = home.copied(tmp_path / "home")
    spoilt.spoil(home.knn)
    status, said = judged(spoilt, tmp_path / "out.json", "--champion", home.knn, "--challengers", home.net)
    assert status == 0, said
    assert said[-1]["champion"] is None
    assert "tables.safetensors" in said[-1]["champion_problem"]
    assert "champion_ndcg_at_10" not in said[-1]["figures"][home.net]
    status, said = judged(spoilt, tmp_path / "other.json", "--challengers", home.knn)
    assert (status, said[-1]["event"], said[-1]["reason"]) == (1, "failed", "BUNDLE_BROKEN")
    assert not (tmp_path / "other.json").exists()


def test_a_training_that_is_asked_for_again_is_done_at_once(home: Home) -> None:
    """Whoever crashed before hearing of the version hears of it now, and nothing is trained or registered twice."""
    status, said = run(home.folder, "services.training", *training("net", home.data_version))
    assert status == 0
    assert [(line["event"], line["version"]) for line in said] == [("done", home.net)]
    models = open_registry(load(home=home.folder)).newest(10)
    assert {each.version: (each.origin, each.data_version) for each in models} == {
        home.net: ("night-1/net", home.data_version), home.knn: ("night-1/knn", home.data_version),
    }  # fmt: skip
    assert len(list((home.folder / "bundles").iterdir())) == 2
    status, said = run(home.folder, "services.training", *training("net", home.later_version))
    assert (status, said[-1]["reason"]) == (1, "INVALID_REQUEST")


def test_a_log_that_there_is_not_fails_in_one_line(home: Home, tmp_path: Path) -> None:
    status, said = judged(home, tmp_path / "out.json", "--challengers", home.knn, version=99)
    assert (status, said[-1]["event"], said[-1]["reason"]) == (1, "failed", "UNKNOWN_VERSION")


def test_who_asks_to_be_forgotten_after_training_does_not_make_challengers_see_the_holdout(
    home: Home, tmp_path: Path
) -> None:
    """Fewer events are left, and a tenth of them begins later or earlier; the cut stays where training made it."""
    changed = home.copied(tmp_path / "home")
    settings = load(home=changed.folder)
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    early = {each.user_id for each in EVENTS[:40]}
    wishes = [Erasure(UserId(user), now_us) for user in early]
    SqlUserDirectory(connect(settings.database_url), SystemClock()).request_erasures(wishes)
    status, said = judged(changed, tmp_path / "out.json", "--champion", home.knn, "--challengers", home.net)
    assert (status, said[-1]["champion"]) == (0, home.knn), said
    assert said[-1]["figures"][home.net]["num_holdout_users"] == 120 - len(early)


def test_a_version_of_last_night_is_compared_with_on_what_came_since(home: Home, tmp_path: Path) -> None:
    """Asked of a later version than they were trained on: the last part is later, and nobody has seen it."""
    status, said = judged(
        home, tmp_path / "a.json", "--champion", home.knn, "--challengers", home.net, version=home.later_version
    )
    assert (status, said[-1]["champion"], said[-1]["champion_saw_holdout"]) == (0, home.knn, False), said
