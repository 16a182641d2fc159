"""Joules that the processors of this machine took, where the system lets a process read them.

Linux tells them under `powercap` (RAPL counters of Intel and AMD processors, a folder a package); since 5.10 only root
may read them, and virtual machines have none. They are the whole machine's: what else ran is in them.
Source: kernel documentation, `power/powercap/powercap.rst`.
"""

import re
from pathlib import Path
from typing import Final

POWERCAP: Final = Path("/sys/class/powercap")
_PACKAGE: Final = re.compile(r"intel-rapl:\d+")  # not its parts, such as intel-rapl:0:0, which are in it


class ProcessorEnergy:
    """Counts from its making on; ask every half hour at least: counters begin anew after some 260 kJ."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        self._packages = [each for each in found if _PACKAGE.fullmatch(each.name)]
        self._last = {each: _microjoules(each / "energy_uj") for each in self._packages}
        self._sum_uj = 0

    def joules(self) -> float | None:
        """Since it was made; None where any package's counter cannot be read."""
        if not self._packages:
            return None
        for package in self._packages:
            now, before = _microjoules(package / "energy_uj"), self._last[package]
            if now is None or before is None:
                return None
            began_anew = now < before
            self._sum_uj += now - before + (_range_uj(package) if began_anew else 0)
            self._last[package] = now
        return self._sum_uj / 1e6


def _range_uj(package: Path) -> int:
    return _microjoules(package / "max_energy_range_uj") or 0


def _microjoules(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
