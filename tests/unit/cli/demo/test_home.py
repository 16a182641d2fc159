"""What the demo may delete: what a demo made and nobody has used since, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import demo_marker, lock, state
from deploy.embedded.processes import Identity
from deploy.embedded.state import Part, StackState
from services.cli.demo.home import prepare_home
from services.domain.errors import InvalidSettings, StartFailed
from services.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_home_that_a_demo_made_is_emptied(settings: Settings) -> None:
    prepare_home(settings)
    (settings.home_folder / "bundles").mkdir()
    (settings.home_folder / "bundles" / "model").write_text("old")
    (settings.home_folder / "catalog.db").write_text("old")
    prepare_home(settings)
    assert {entry.name for entry in settings.home_folder.iterdir()} == {demo_marker.FILE, lock.FILE}


def test_a_home_that_became_its_users_is_refused_and_kept(settings: Settings) -> None:
    """`nightjar up` removes the marker; the sentence says both ways to go on."""
    prepare_home(settings)
    (settings.home_folder / "catalog.db").write_text("my events")
    demo_marker.remove(settings.home_folder)
    with pytest.raises(InvalidSettings) as refused:
        prepare_home(settings)
    assert "NIGHTJAR_HOME=" in str(refused.value)
    assert "delete" in str(refused.value)
    assert (settings.home_folder / "catalog.db").read_text() == "my events"


def test_data_that_no_demo_made_is_left_as_it_was(settings: Settings) -> None:
    settings.home_folder.mkdir()
    (settings.home_folder / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidSettings, match="no demo made"):
        prepare_home(settings)
    assert [entry.name for entry in settings.home_folder.iterdir()] == ["thesis.tex"]


def test_a_home_in_use_is_refused_and_kept(settings: Settings) -> None:
    prepare_home(settings)
    (settings.home_folder / "catalog.db").write_text("in use")
    with lock.hold(settings.home_folder), pytest.raises(StartFailed, match="nightjar down"):
        prepare_home(settings)
    assert (settings.home_folder / "catalog.db").exists()


def test_what_a_killed_demo_left_running_is_ended_before_its_files_go(settings: Settings) -> None:
    prepare_home(settings)
    leftover = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    try:
        identity = Identity.of(leftover.pid)
        part = Part("kafka", identity, "running", 9092, "/logs/kafka.log")
        dead_supervisor = Identity(os.getpid(), identity.start_time - 3_600)
        state.write(settings.home_folder, StackState(supervisor=dead_supervisor, parts=(part,)))
        prepare_home(settings)
        assert identity.process() is None
    finally:
        leftover.kill()
        leftover.wait()


def test_a_link_in_the_home_is_removed_and_what_it_names_is_kept(settings: Settings, tmp_path: Path) -> None:
    prepare_home(settings)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (settings.home_folder / "log").symlink_to(elsewhere)
    prepare_home(settings)
    assert (elsewhere / "precious").exists()
    assert not (settings.home_folder / "log").exists()


def test_a_home_that_is_a_file_is_one_sentence(settings: Settings) -> None:
    settings.home_folder.write_text("a file")
    with pytest.raises(StartFailed, match="is not a folder"):
        prepare_home(settings)
    assert settings.home_folder.read_text() == "a file"


def test_the_demo_never_fills_stores_of_others(tmp_path: Path) -> None:
    own = Settings.model_validate({"home": tmp_path, "redis": {"url": "redis://mine"}})
    with pytest.raises(InvalidSettings, match="NIGHTJAR_REDIS__URL"):
        prepare_home(own)
