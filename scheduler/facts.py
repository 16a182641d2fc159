"""What the steps of a night have found so far: the only thing that later steps know of earlier ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.domain.ids import ModelVersion
from services.registry.gate import measured

COMPACT: Final = "compact"
PIN: Final = "pin"
CHECK: Final = "check"
TRAIN: Final = "train:"
"""Before a challenger's name."""
EVALUATE: Final = "evaluate"
PLAN: Final = "plan"
GATE: Final = "gate"
PUBLISH: Final = "publish"
LOAD: Final = "load"
SWAP: Final = "swap"
WATCH: Final = "watch"
REPORT: Final = "report"


@dataclass(frozen=True)
class Facts:
    """By step name, the outputs of the steps that are done; read from the night book, also after a crash."""

    run_id: int
    outputs: Mapping[str, Mapping[str, Any]]

    @property
    def data_version(self) -> int:
        return int(self.outputs[PIN]["data_version"])

    @property
    def trained(self) -> Mapping[str, ModelVersion]:
        """The version that each challenger became, by the challenger's name; without those that failed."""
        return {
            name.removeprefix(TRAIN): ModelVersion(found["version"])
            for name, found in self.outputs.items()
            if name.startswith(TRAIN)
        }

    @property
    def champion(self) -> ModelVersion | None:
        """What was live when the challengers were compared with it."""
        version = self.outputs[EVALUATE]["champion"]
        return None if version is None else ModelVersion(version)

    def figures(self, version: ModelVersion) -> Mapping[str, float]:
        """What evaluation and planning measured of a challenger."""
        return measured(version, self.outputs[EVALUATE], self.outputs.get(PLAN, {}))

    @property
    def chosen(self) -> ModelVersion | None:
        """The best challenger that passed the gate; None before that, and when none did."""
        version = self.outputs.get(GATE, {}).get("chosen")
        return None if version is None else ModelVersion(version)
