"""The data of a night: the log is kept, one version of it pinned, and that one checked before anything learns of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scheduler.chain import Outputs, StepFailed, StepRefused, Work
from scheduler.children import Children, Task
from scheduler.facts import CHECK, COMPACT, PIN, Facts
from services.domain.ports import Clock
from services.domain.runs import Run, RunState


class LogHead(Protocol):
    """The newest version of the offline log."""

    def version(self) -> int:
        """-1 for a log that does not exist yet."""
        ...

    def num_events(self) -> int: ...


@dataclass(frozen=True)
class Compact:
    """Erasure, retention, small files merged, old ones deleted. Training leaves out the erased by itself as well.

    `keep_house`: does all that while its argument says so, as `Housekeeping.run`; None when somebody is at it already.
    """

    keep_house: Callable[[Callable[[], bool]], Run | None]
    timeout_s: float
    name: str = COMPACT
    may_fail: bool = True

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        del facts
        return {}

    def run(self, work: Work) -> Outputs:
        run = self.keep_house(work.keep_going)
        if run is None:
            return {"found": "Another housekeeping was going on."}
        if run.state is not RunState.SUCCEEDED:
            raise StepFailed(run.detail)
        return {"housekeeping_run": run.run_id, "found": run.detail}


@dataclass(frozen=True)
class Pin:
    """Names the version of the log that the whole night is about, however often it is begun again."""

    log: LogHead
    timeout_s: float
    name: str = PIN
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        del facts
        return {}

    def run(self, work: Work) -> Outputs:
        del work
        version = self.log.version()
        if version < 0:
            raise StepFailed("The log is empty: no event was stored yet.", retry=False)
        return {"data_version": version, "num_events": self.log.num_events()}


@dataclass(frozen=True)
class Check:
    """Compares the newest day with those before; see `services.training.checking`. An operator may go on all the same:
    `nightjar nights resume --accept REASON`.
    """

    children: Children
    clock: Clock
    timeout_s: float
    name: str = CHECK
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"data_version": facts.data_version}

    def run(self, work: Work) -> Outputs:
        now = self.clock.now().isoformat()
        version = str(work.facts.data_version)
        task = Task("services.training.checking", ("--data-version", version, "--as-of", now))
        said = self.children.run(task, work)
        found = {name: said[name] for name in ("passed", "findings", "num_events") if name in said}
        if not found["passed"]:
            wrong = [each["sentence"] for each in found["findings"] if not each["passed"]]
            raise StepRefused(" ".join(wrong), found)
        return found
