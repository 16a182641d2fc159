"""The contracts in proto/: well written, and never broken against what others already build on.

"What others build on" is main: `origin/main` where there is one, else `main`. On main itself it is the commit before,
so a change is compared with what it changes. It is read with `git archive`, which needs no network and works in a
worktree and in a shallow clone; where there is no older commit at all, the contracts of HEAD are compared.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASES = ("origin/main", "main", "HEAD~1")


def buf(*arguments: str, folder: Path = REPOSITORY) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("buf")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, timeout=60, check=False)


def commit_of(name: str) -> str:
    """The commit a name stands for; empty when this clone lacks it."""
    return git("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}").stdout.decode().strip()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The contracts as main has them."""
    head = commit_of("HEAD") if shutil.which("git") else ""
    if not head:
        reason = "this is no git checkout, so there is nothing to compare with"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    base = next((commit for commit in map(commit_of, BASES) if commit not in ("", head)), head)
    archive = git("archive", base, "buf.yaml", "proto")
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path, filter="data")
    return tmp_path


def test_the_contracts_are_well_written() -> None:
    """buf's STANDARD and COMMENTS: names, packages, and a comment on every service, rpc, message, field and value."""
    linted = buf("lint")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_contracts_break_nobody(published: Path) -> None:
    """Nothing that main promises is removed, renumbered or retyped."""
    compared = buf("breaking", "--against", str(published))
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_a_breaking_change_would_be_seen(published: Path, tmp_path: Path) -> None:
    """The check above can fail: a field that changes its number is reported."""
    changed = tmp_path / "changed"
    shutil.copytree(REPOSITORY / "proto", changed / "proto")
    shutil.copy(REPOSITORY / "buf.yaml", changed)
    event = changed / "proto" / "nightjar" / "v1" / "event.proto"
    event.write_text(event.read_text().replace("string user_id = 2;", "string user_id = 99;"))
    compared = buf("breaking", "--against", str(published), folder=changed)
    assert compared.returncode != 0
    assert '"2"' in compared.stdout, compared.stdout + compared.stderr
