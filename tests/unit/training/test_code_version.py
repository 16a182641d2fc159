"""A model is traced to the code that made it, never to a repository that merely surrounds that code."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from services.settings import Settings
from services.training.code_version import code_version, commit_of, library_versions
from services.training.wiring import recipe


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that tracks one file, and ignores a folder of installed packages."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "package.py").write_text("")
    (tmp_path / "own.py").write_text("")
    (tmp_path / ".gitignore").write_text("installed/\n")
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_tracked_file_has_its_repositorys_commit_and_changes_are_told(repository: Path) -> None:
    assert re.fullmatch("[0-9a-f]{12}", commit_of(repository / "own.py"))
    (repository / "own.py").write_text("changed = True")
    assert re.fullmatch("[0-9a-f]{12}-dirty", commit_of(repository / "own.py"))


def test_a_package_installed_inside_a_foreign_repository_has_no_commit(repository: Path) -> None:
    assert commit_of(repository / "installed" / "package.py") == ""


def test_a_file_outside_any_repository_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("")
    assert commit_of(tmp_path / "alone.py") == ""


def test_the_version_begins_with_the_packages() -> None:
    assert code_version().startswith(version("nightjar-server"))


def test_the_manifests_configuration_names_the_libraries() -> None:
    """What must be installed to repeat a run: Python, torch, numpy and ONNX Runtime."""
    libraries = recipe(Settings()).configuration["libraries"]
    assert libraries == library_versions()
    assert libraries["torch"] == version("torch")
    assert libraries.keys() == {"python", "torch", "numpy", "onnxruntime"}
