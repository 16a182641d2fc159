"""What `nightjar doctor` finds, and what it makes of it."""

import socket
from pathlib import Path

import pytest

from services.cli.doctor import Finding, examine, failed
from services.settings import Settings


def _found(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings)}


def test_every_missing_thing_comes_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with nothing on its PATH, and with no jars fetched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = examine(Settings(home=tmp_path, cache=tmp_path / "cache"))
    missing = [finding for finding in findings if not finding.ok]
    assert "Kafka's jars" in {finding.name for finding in missing}
    assert all(finding.remedy and "\n" not in finding.remedy for finding in missing)
    assert not any(finding.remedy for finding in findings if finding.ok)


def test_a_taken_port_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ports = _found(Settings.model_validate({"home": tmp_path, "serve": {"port": port}}))["Ports"]
    assert not ports.ok
    assert str(port) in ports.remedy
    assert failed([ports])


def test_servers_of_ones_own_make_the_embedded_ones_needless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    own = {
        "kafka": {"bootstrap_servers": "kafka:9092"},
        "redis": {"url": "redis://redis"},
        "serve": {"port": 0},
        "gateway": {"port": 0},
    }
    found = _found(Settings.model_validate({"home": tmp_path, "cache": tmp_path / "cache", **own}))
    for name in ("Java", "Redis or Valkey", "Kafka's jars"):
        assert found[name].ok
        assert "your own" in found[name].detail


def test_only_what_is_needed_fails_the_examination() -> None:
    assert not failed([Finding("a", ok=True, detail=""), Finding("b", ok=False, detail="", needed=False)])
    assert failed([Finding("a", ok=True, detail=""), Finding("b", ok=False, detail="")])
