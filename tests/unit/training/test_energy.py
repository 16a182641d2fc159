"""What the processors took, read from counters that are files."""

from pathlib import Path

from services.training.energy import ProcessorEnergy


def _package(folder: Path, name: str, microjoules: int, largest: int = 1_000_000_000) -> Path:
    package = folder / name
    package.mkdir(exist_ok=True)
    (package / "energy_uj").write_text(f"{microjoules}\n")
    (package / "max_energy_range_uj").write_text(f"{largest}\n")
    return package


def test_all_packages_count_and_their_parts_do_not_count_twice(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0", "intel-rapl"):
        _package(tmp_path, name, 5_000_000)
    energy = ProcessorEnergy(tmp_path)
    assert energy.joules() == 0.0
    _package(tmp_path, "intel-rapl:0", 7_000_000)
    _package(tmp_path, "intel-rapl:1", 5_500_000)
    _package(tmp_path, "intel-rapl:0:0", 6_000_000)
    assert energy.joules() == 2.5
    assert energy.joules() == 2.5


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    _package(tmp_path, "intel-rapl:0", 9_000_000, largest=10_000_000)
    energy = ProcessorEnergy(tmp_path)
    _package(tmp_path, "intel-rapl:0", 500_000, largest=10_000_000)
    assert energy.joules() == 1.5


def test_where_it_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    assert ProcessorEnergy(tmp_path / "none").joules() is None
    assert ProcessorEnergy(tmp_path).joules() is None
    (_package(tmp_path, "intel-rapl:0", 1) / "energy_uj").unlink()
    assert ProcessorEnergy(tmp_path).joules() is None
