"""Which code a model was made with: this package's, and that of the libraries that decide its numbers."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "numpy", "onnxruntime")


def code_version() -> str:
    """The package's version, and the git commit when this is a checkout: `0.1.0+209a4a2`, `-dirty` with changes."""
    released = version("nightjar-server")
    commit = commit_of(Path(__file__))
    return f"{released}+{commit}" if commit else released


def library_versions() -> Mapping[str, str]:
    """Python's and the libraries' versions by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def commit_of(file: Path) -> str:
    """The commit of the repository that tracks a file; empty where there is no git or none tracks it.

    A repository that merely surrounds it, such as the project whose environment this package is installed in, knows
    nothing of this code, and its commit would name the wrong one.
    """
    if not _git(file.parent, "ls-files", "--error-unmatch", "--", file.name):
        return ""
    return _git(file.parent, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; empty when it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
