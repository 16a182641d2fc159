"""What `nightjar doctor` finds, and what it makes of it."""

import importlib.metadata
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.doctor import Finding, examine, failed
from services.cli.doctor.gpu import gpu_name
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


def test_the_examination_does_not_wait_for_torch(tmp_path: Path) -> None:
    """Importing it takes most of ten seconds; its version and the driver are enough."""
    program = (
        "import sys; from services.cli.doctor import examine; from services.settings import Settings; "
        f"found = examine(Settings(home={str(tmp_path)!r})); assert 'torch' not in sys.modules; "
        "print(next(each.detail for each in found if each.name == 'torch'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(importlib.metadata.version("torch"))


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int number) { *device = 7; return COUNT ? 0 : 101; }
int cuDeviceGetName(char *name, int size, int device) {
  strncpy(name, device == 7 ? "Planted GPU" : "another", size);
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to plant a driver")
@pytest.mark.parametrize(("count", "name"), [(1, "Planted GPU"), (0, None)])
def test_a_gpu_is_what_the_driver_says(tmp_path: Path, count: int, name: str | None) -> None:
    source, library = tmp_path / "driver.c", tmp_path / "driver.so"
    source.write_text(DRIVER)
    subprocess.run(["cc", f"-DCOUNT={count}", "-shared", "-fPIC", "-o", library, source], check=True)
    assert gpu_name(str(library)) == name


def test_without_a_driver_there_is_no_gpu(tmp_path: Path) -> None:
    assert gpu_name(str(tmp_path / "no-such-driver.so")) is None


def test_only_what_is_needed_fails_the_examination() -> None:
    assert not failed([Finding("a", ok=True, detail=""), Finding("b", ok=False, detail="", needed=False)])
    assert failed([Finding("a", ok=True, detail=""), Finding("b", ok=False, detail="")])
