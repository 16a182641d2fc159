"""The gate: which of the challengers may serve, by the operator's rules, and which of those does."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from scheduler.chain import Outputs, StepRefused, Work
from scheduler.facts import GATE, Facts
from services.domain.ids import ModelVersion
from services.domain.models import Verdict
from services.domain.ports import ModelRegistry
from services.registry.gate import GateRules, judge

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Gate:
    """Stores a verdict for every challenger, and chooses the one with the best NDCG@10 of those that passed."""

    registry: ModelRegistry
    rules: GateRules
    timeout_s: float
    name: str = GATE
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"challengers": list(facts.trained.values()), "champion": facts.champion}

    def run(self, work: Work) -> Outputs:
        facts = work.facts
        verdicts: dict[ModelVersion, Verdict] = {}
        for version in facts.trained.values():
            verdicts[version] = verdict = judge(facts.figures(version), self.rules)
            work.patience.outlast(partial(self.registry.judge, version, verdict))
            log.info("model_judged", version=version, passed=verdict.passed)
        passed = [version for version, verdict in verdicts.items() if verdict.passed]

        def quality(version: ModelVersion) -> float:
            return facts.figures(version).get("ndcg_at_10", 0.0)

        found = {"passed": {version: verdict.passed for version, verdict in verdicts.items()}}
        if not passed:
            best = max(verdicts, key=quality)
            wrong = [each.sentence for each in verdicts[best].findings if not each.passed]
            raise StepRefused(" ".join(wrong), {**found, "chosen": None, "best": best})
        return {**found, "chosen": max(passed, key=quality)}
