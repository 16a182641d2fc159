"""The watch: for some minutes after a swap the fleet's answers are compared with those before it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from scheduler.chain import Outputs, StepFailed, StepRefused, Work
from scheduler.facts import LOAD, SWAP, WATCH, Facts
from services.domain.errors import NothingToRollBack
from services.domain.fleet import ServingWorker
from services.domain.models import Assignment
from services.domain.nights import ACTOR
from services.domain.ports import Clock, Fleet, ModelRegistry
from services.domain.vitals import Vitals, total

LOOK_S: Final = 2.0  # larger: a bad model serves for longer; smaller: questions whose answer is the same

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchBounds:
    """See NightSettings. Rises are over what was usual before the swap."""

    watch_s: float
    min_calls: int
    max_failed_rise: float
    max_degraded_rise: float
    max_p99_ratio: float
    max_p99_ms: float


def by_worker(workers: Sequence[ServingWorker]) -> dict[str, Any]:
    """What they have answered so far, as JSON, for whoever looks again later."""
    return {each.worker_id: each.vitals.to_json() for each in workers}


@dataclass(frozen=True)
class Watch:
    """Takes the new model back by itself when its answers fail, degrade or come late. See WatchBounds.

    `take_back`: rolls back for a reason. `pause`: see Chain.
    """

    fleet: Fleet
    registry: ModelRegistry
    take_back: Callable[[str], Assignment]
    bounds: WatchBounds
    clock: Clock
    pause: Callable[[float], bool]
    timeout_s: float
    name: str = WATCH
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"generation": facts.outputs[SWAP]["generation"], "watch_s": self.bounds.watch_s}

    def run(self, work: Work) -> Outputs:
        """Until so long after the swap, also when the scheduler died in between."""
        swap = work.facts.outputs[SWAP]
        usual = total([Vitals.from_json(each) for each in work.facts.outputs[LOAD]["vitals"].values()])
        before = {name: Vitals.from_json(each) for name, each in swap["vitals"].items()}
        until = datetime.fromisoformat(swap["swap_time"]) + timedelta(seconds=self.bounds.watch_s)
        while True:
            workers = work.patience.outlast(self.fleet.workers)
            since = total([each.vitals - before.get(each.worker_id, Vitals()) for each in workers])
            live = work.patience.outlast(self.registry.live)
            if live is not None and is_taken_back(live, swap["generation"]):
                raise _refused(live.reason, live, _figures(usual, since))
            if live is None or live.generation != swap["generation"]:
                return {**_figures(usual, since), "found": "Somebody changed the live model; the watch is theirs."}
            if wrong := problem(usual, since, self.bounds):
                raise self._taken_back(work, wrong, _figures(usual, since))
            if not workers or self.clock.now() >= until:
                return {**_figures(usual, since), "found": _found(since)}
            if self.pause(LOOK_S) or not work.keep_going():
                raise StepFailed("The watch was cut short.")

    def _taken_back(self, work: Work, wrong: str, figures: Mapping[str, Any]) -> StepRefused:
        try:
            restored = work.patience.outlast(lambda: self.take_back(wrong))
        except NothingToRollBack:
            return StepRefused(f"{wrong} There is no model before it to go back to, so it serves on.", figures)
        log.warning("model_taken_back", why=wrong, live=restored.version)
        return _refused(wrong, restored, figures)


def is_taken_back(live: Assignment, generation: int) -> bool:
    """Whether a watch took the model of that swap back and its scheduler died before it could say so."""
    return live.generation == generation + 1 and live.restores is not None and live.actor == ACTOR


def _refused(wrong: str, live: Assignment, figures: Mapping[str, Any]) -> StepRefused:
    return StepRefused(f"{wrong} {live.version} is live again.", {**figures, "live": live.version})


def problem(usual: Vitals, since: Vitals, bounds: WatchBounds) -> str:
    """What is wrong with the answers since the swap, in a sentence; empty when nothing is, or too few came."""
    if since.num_calls < bounds.min_calls:
        return ""
    if since.failed_share > usual.failed_share + bounds.max_failed_rise:
        return f"{since.failed_share:.1%} of calls failed since the swap, {usual.failed_share:.1%} before."
    if since.degraded_share > usual.degraded_share + bounds.max_degraded_rise:
        return f"{since.degraded_share:.1%} of answers were degraded since the swap, {usual.degraded_share:.1%} before."
    allowed_s = max(bounds.max_p99_ms / 1_000, bounds.max_p99_ratio * usual.p99_s)
    if since.p99_s > allowed_s:
        return f"p99 latency was {_ms(since.p99_s)} since the swap, {_ms(usual.p99_s)} before."
    return ""


def _found(since: Vitals) -> str:
    if not since.num_calls:
        return "nobody asked"
    return (
        f"{since.num_calls:,} calls: {since.failed_share:.2%} failed, {since.degraded_share:.2%} degraded, "
        f"p99 {_ms(since.p99_s)}"
    )


def _figures(usual: Vitals, since: Vitals) -> dict[str, Any]:
    return {
        name: {"num_calls": each.num_calls, "failed": each.failed_share, "degraded": each.degraded_share}
        | {"p99_ms": round(each.p99_s * 1_000, 3) if each.p99_s != float("inf") else None}
        for name, each in (("before", usual), ("since", since))
    }


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.1f} ms" if seconds != float("inf") else "beyond all measure"
