"""The way out: the chosen version is proved to be whole, loaded by every worker of every replica, and made live."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.chain import Outputs, StepFailed, StepRefused, Work
from scheduler.facts import LOAD, PUBLISH, SWAP, Facts
from scheduler.steps.watch import by_worker
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.ports import BundleStore, Fleet, ModelRegistry
from services.registry.rollout import Rollout


@dataclass(frozen=True)
class Publish:
    """Reads the bundle as serving will, every file compared with its sum and the manifest with the registry's."""

    registry: ModelRegistry
    bundles: BundleStore
    timeout_s: float
    name: str = PUBLISH
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"version": facts.chosen}

    def run(self, work: Work) -> Outputs:
        version = chosen(work.facts)
        model = work.patience.outlast(lambda: self.registry.get(version))
        folder = self.bundles.fetch(model.location)
        if (digest := sha256_of(folder / MANIFEST)) != model.digest:
            raise BundleBroken(
                f"the manifest of {version} has the digest {digest}, the registry says {model.digest}: "
                "somebody wrote over the bundle"
            )
        return {"location": model.location, "digest": model.digest}


@dataclass(frozen=True)
class Load:
    """Every worker loads the version and warms it up, the first phase of a swap; they hold it for the second."""

    registry: ModelRegistry
    rollout: Rollout
    timeout_s: float
    name: str = LOAD
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"version": facts.chosen}

    def run(self, work: Work) -> Outputs:
        version = chosen(work.facts)
        live = work.patience.outlast(self.registry.live)
        with self.rollout.prepared(version, 0 if live is None else live.generation):
            workers = work.patience.outlast(self.rollout.fleet.workers)
        ready = sum(version in each.held for each in workers)
        return {
            "num_workers": len(workers),
            "num_ready": ready,
            "found": f"{ready} of {len(workers)} workers hold it",
            "vitals": by_worker(workers),
        }


@dataclass(frozen=True)
class Swap:
    """Makes the chosen version live, unless the champion it was compared with is not what is live any more."""

    registry: ModelRegistry
    fleet: Fleet
    promote: Callable[[ModelVersion], Assignment]
    timeout_s: float
    name: str = SWAP
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"version": facts.chosen, "instead_of": facts.champion}

    def run(self, work: Work) -> Outputs:
        version, champion = chosen(work.facts), work.facts.champion
        live = work.patience.outlast(self.registry.live)
        if live is not None and live.version not in (version, champion):
            sentence = (
                f"{live.version} went live meanwhile (by {live.actor}), and {version} was compared with "
                f"{champion or 'nothing'}; promote it by hand, or run another night."
            )
            raise StepRefused(sentence, {"live": live.version})
        before = by_worker(work.patience.outlast(self.fleet.workers))
        assigned = work.patience.outlast(lambda: self.promote(version))
        return {
            "version": assigned.version,
            "generation": assigned.generation,
            "swap_time": assigned.change_time.isoformat(),
            "vitals": before,
        }


def chosen(facts: Facts) -> ModelVersion:
    """Raises StepFailed for a night that chose none; such a one ends at its gate."""
    if facts.chosen is None:
        raise StepFailed("The gate chose no version.", retry=False)
    return facts.chosen
