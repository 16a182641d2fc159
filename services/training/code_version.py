"""Which code a model was made with."""

import subprocess
from importlib.metadata import version
from pathlib import Path


def code_version() -> str:
    """The package's version, and the git commit when this is a checkout: `0.1.0+209a4a2`, `-dirty` with changes."""
    released = version("nightjar-server")
    commit = _git("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")
    return f"{released}+{commit}" if commit else released


def _git(*arguments: str) -> str:
    """What git prints; empty where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
