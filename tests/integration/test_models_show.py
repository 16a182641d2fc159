"""`nightjar models show` and `diff` on a real database and real bundles."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services import logs
from services.adapters.bundle_folder import FolderBundleStore
from services.bundle_wiring import open_bundles
from services.cli import models
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Pin, Provenance, StageCost
from services.domain.ports import ModelRegistry
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.clock import START
from tests.fakes.model_registry import PASSED, REFUSED, model
from tests.fakes.tiny_bundle import item_vectors, manifest_of, write_draft

Command = Callable[..., Any]
PROVENANCE = Provenance(
    code_version="0.1.0+abc",
    seed=7,
    configuration={"train": {"dim": 16, "kind": "sequence"}, "until_us": None},
    first_event_time=START - timedelta(days=3),
    last_event_time=START,
    cost={"read": StageCost(1.5, 1.25), "fit": StageCost(10.0, 18.0, 9.0)},
)
METRICS = {"ndcg_at_10": 0.12, "ndcg_gain_at_10": 0.04, "ndcg_gain_at_10_low": 0.03, "ndcg_gain_at_10_high": 0.05}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """Version `a` was live, `b`, which started from it, is, and `c` was refused; `c` knows 4 of their 6 items."""
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    settings = load()
    registry, store = open_registry(settings), FolderBundleStore(settings.bundle_folder)
    for number, version in enumerate("abc"):
        folder = tmp_path / version
        location = store.publish(
            folder, write_draft(folder, version, vectors=item_vectors(number, 4 if version == "c" else 6))
        )
        registered = model(version, verdict=REFUSED if version == "c" else PASSED, age_s=30.0 - number)
        registry.register(
            replace(
                registered, location=location, digest=sha256_of(store.fetch(location) / MANIFEST), metrics=METRICS,
                origin=f"night-1/{version}", parent=ModelVersion("a") if version == "b" else None,
                provenance=PROVENANCE,
            )
        )  # fmt: skip
    for generation, version in enumerate("ab"):
        registry.assign(
            ModelVersion(version), actor="ada", reason="passed the gate", override=False, expected_generation=generation
        )
    return registry


@pytest.fixture
def run(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process and returns its exit status, and its text or with --json its object."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)

    def invoke(*arguments: str) -> Any:
        ended = CliRunner().invoke(models.app, list(arguments), standalone_mode=False, env={"COLUMNS": "200"})
        if ended.exception is not None:
            raise ended.exception
        return ended.return_value or 0, json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    with capture_logs():
        yield invoke


def test_everything_is_shown(run: Command, registry: ModelRegistry, tmp_path: Path) -> None:
    registry.pin(ModelVersion("b"), Pin("bob", "an audit"))
    _, shown = run("show", "b", "--json")
    assert {name: shown[name] for name in ("version", "state", "origin", "ancestors", "seed", "code_version")} == {
        "version": "b", "state": "live", "origin": "night-1/b", "ancestors": ["a"], "seed": 7,
        "code_version": "0.1.0+abc",
    }  # fmt: skip
    assert shown["unusual_settings"]["train.dim"] == {"value": 16, "default": 128}
    assert "train.kind" not in shown["unusual_settings"]
    assert shown["cost"]["fit"] == {"wall_s": 10.0, "cpu_s": 18.0, "gpu_s": 9.0, "energy_j": None}
    assert shown["verdict"]["findings"][0]["rule"] == "gain_over_popularity"
    assert [(each["generation"], each["actor"], each["reason"]) for each in shown["assignments"]] == [
        (2, "ada", "passed the gate")
    ]
    assert shown["pinned"] == {"actor": "bob", "reason": "an audit"}
    assert shown["bundle"] == str(tmp_path / "home" / "bundles" / "b")
    _, text = run("show", "b")
    for told in (
        "b (sequence), live",
        "by bob: an audit",
        "0.0300 to 0.0500",
        "11.5 s, 19.2 s of CPU, 9.0 s of GPU",
        "held",
    ):
        assert told in text


def test_what_an_older_release_registered_is_shown_too(run: Command, registry: ModelRegistry) -> None:
    registry.register(model("old"))
    _, text = run("show", "old")
    assert "seed unknown" in text
    assert "not judged yet" in text
    with pytest.raises(UnknownVersion):
        run("show", "nowhere")


def test_a_bundle_is_verified_when_asked(run: Command, registry: ModelRegistry, tmp_path: Path) -> None:
    assert run("show", "b", "--verify", "--json")[1]["verified"] is True
    path = tmp_path / "home" / "bundles" / "b" / "vocabulary.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    assert run("show", "b")[0] == 0, "nobody asked"
    status, shown = run("show", "b", "--verify", "--json")
    assert (status, shown["verified"]) == (1, False)
    assert "vocabulary.json" in shown["problem"]
    registry.retire(ModelVersion("a"))
    status, text = run("show", "a", "--verify")
    assert status == 1
    assert "clean-up deleted it" in text


def test_what_is_verified_is_the_store_and_not_what_this_host_kept_of_it(
    run: Command, registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle on object storage that was damaged after this host had fetched it."""
    monkeypatch.setenv("NIGHTJAR_BUNDLES__URL", f"file://{tmp_path}/objects")
    store = open_bundles(load())
    location = store.publish(tmp_path / "b", manifest_of("remote"))
    digest = sha256_of(store.fetch(location) / MANIFEST)
    registry.register(replace(model("remote"), location=location, digest=digest))
    assert run("show", "remote", "--verify", "--json")[1]["verified"] is True
    (damaged,) = (tmp_path / "objects" / "remote").glob("*/vocabulary.json")
    damaged.chmod(0o644)
    damaged.write_bytes(b"{}")
    assert store.fetch(location).is_dir(), "the copy on this host is whole"
    status, shown = run("show", "remote", "--verify", "--json")
    assert (status, shown["verified"]) == (1, False)
    assert "vocabulary.json" in shown["problem"]


def test_two_versions_are_shown_side_by_side(run: Command, tmp_path: Path) -> None:
    _, found = run("diff", "a", "b", "--json")
    assert found["settings"] == [{"name": "parent", "first": None, "second": "a"}]
    assert found["data"] == []
    assert {each["difference"] for each in found["metrics"]} == {0.0}
    assert found["vocabulary"] == {"num_first": 6, "num_second": 6, "num_shared": 6, "share": 1.0}
    assert run("diff", "a", "c", "--json")[1]["vocabulary"]["num_shared"] == 4
    assert "4 in both, of 6 and 4 (66.7% of all)" in run("diff", "a", "c")[1]
    (tmp_path / "home" / "bundles" / "c" / MANIFEST).unlink()
    _, found = run("diff", "a", "c", "--json")
    assert found["vocabulary"] is None
    assert MANIFEST in found["vocabulary_unknown_because"]
    assert "cannot be read" in run("diff", "a", "c")[1]
