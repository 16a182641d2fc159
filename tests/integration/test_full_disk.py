"""A real disk that fills up while a run saves: it is said what to do, nothing half is seen, and the next run works.

The disk is a file system of its own in memory, filled up to what a test leaves of it.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.domain.errors import TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.job import Recipe, TrainingJob
from services.training.kinds.factory import make_model
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.model import TrainableModel
from services.training.start import Starting
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.item_catalog import FakeItemCatalog
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.planted import planted_events
from tests.fakes.user_directory import FakeUserDirectory
from tests.unit.training.conftest import OPTIONS

DISK_BYTES, PAGE_BYTES = 4 * 2**20, 4_096


@dataclass(frozen=True)
class Disk:
    folder: Path

    def leave(self, size_bytes: int) -> None:
        """Fills it up but for so much."""
        free_bytes = os.statvfs(self.folder).f_bavail * PAGE_BYTES
        (self.folder / "others' files").write_bytes(bytes(free_bytes - size_bytes))

    def make_room(self) -> None:
        (self.folder / "others' files").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (folder := tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "nightjar-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(f"a disk of its own takes the right to mount one: {error}")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)


@dataclass(frozen=True)
class Project:
    """Runs on one log, one folder of bundles and one registry."""

    bundles: Path
    model: Callable[[], TrainableModel] = lambda: make_model("popularity")
    checkpoint: Path | None = None
    registry: FakeModelRegistry = field(default_factory=FakeModelRegistry)

    def run(self) -> list[int]:
        """The epochs that it fitted; the bundle it published is whole, or this raises."""
        said: list[Mapping[str, Any]] = []
        store, items = FolderBundleStore(self.bundles), FakeItemCatalog()
        job = TrainingJob(
            events=FakeEventLog(planted_events(60, 20)),
            items=items,
            erasures=FakeUserDirectory(),
            bundles=store,
            registry=self.registry,
            clock=FakeClock(),
            recipe=Recipe(
                model=self.model, event_types=DEFAULT_EVENT_TYPES, max_history=12, holdout_fraction=0.1,
                validation_fraction=0.1, min_item_events=1, seed=5, code_version="0.1.0+abc", configuration={},
            ),
            report=said.append,
            starting=Starting(self.registry.newest, store, "full", timedelta(days=7)),
            checkpoint=self.checkpoint,
        )  # fmt: skip
        store.fetch(job.run().location)
        return [line["epoch"] for line in said if line["event"] == "epoch"]

    def must_have(self, num_versions: int) -> None:
        seen = [path for path in self.bundles.glob("*") if not path.name.startswith(".")]
        assert len(seen) == len(self.registry.newest(10)) == num_versions


def encoder() -> TrainableModel:
    return SequenceEncoder(replace(OPTIONS, max_epochs=2))


def test_no_room_for_the_published_bundle(disk: Disk) -> None:
    project = Project(disk.folder / "bundles")
    disk.leave(4 * PAGE_BYTES)
    with pytest.raises(TrainingFailed, match=r"No space left on device.*make room"):
        project.run()
    project.must_have(0)
    disk.make_room()
    project.run()
    project.must_have(1)


@pytest.mark.parametrize(
    ("model", "pages"),
    [(encoder, 0), (encoder, 4), (Project.model, 4)],
    ids=["no room for the draft", "no room for its tables", "no room for the report"],
)
def test_no_room_for_what_is_written_before(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Callable[[], TrainableModel], pages: int
) -> None:
    project = Project(tmp_path / "bundles", model)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    disk.leave(pages * PAGE_BYTES)
    with pytest.raises(TrainingFailed, match=r"os error 28|No space left on device") as raised:
        project.run()
    assert "make room" in str(raised.value)
    project.must_have(0)
    disk.make_room()
    assert list(disk.folder.iterdir()) == [], "what was begun is gone"
    project.run()
    project.must_have(1)


def test_no_room_for_a_checkpoint_leaves_the_last_one_to_go_on_from(disk: Disk, tmp_path: Path) -> None:
    project = Project(tmp_path / "bundles", encoder, disk.folder / "training.safetensors")
    kept = 0

    class Filling(SequenceEncoder):
        """Its disk fills up after its first epoch."""

        def fit(self, dataset: Any, on_epoch: Callable[[Any], None]) -> Any:
            def fill(report: Any) -> None:
                nonlocal kept
                kept = disk.folder.joinpath("training.safetensors").stat().st_size
                disk.leave(kept // 2 // PAGE_BYTES * PAGE_BYTES)
                on_epoch(report)

            return super().fit(dataset, fill)

    with pytest.raises(TrainingFailed, match=r"make room on its disk, and the run goes on from epoch 1"):
        replace(project, model=lambda: Filling(replace(OPTIONS, max_epochs=2))).run()
    assert sorted(path.name for path in disk.folder.iterdir()) == ["others' files", "training.safetensors"]
    assert disk.folder.joinpath("training.safetensors").stat().st_size == kept
    project.must_have(0)
    disk.make_room()
    assert project.run() == [2]
    project.must_have(1)
    assert list(disk.folder.iterdir()) == []
