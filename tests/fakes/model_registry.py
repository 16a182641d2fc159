"""The model registry in a dict and a list, and a maker of models."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from services.domain.errors import BundleDeleted, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Finding, Model, Pin, Verdict
from services.domain.ports import Clock
from services.domain.trials import ModelTrial, going_on
from tests.fakes.clock import START, FakeClock

PASSED = Verdict((Finding("gain_over_popularity", 0.04, 0.0, True, "NDCG@10 is above popularity's."),))
REFUSED = Verdict((Finding("gain_over_popularity", -0.01, 0.0, False, "NDCG@10 is not above popularity's."),))


def model(version: str, *, verdict: Verdict | None = None, age_s: float = 0.0, **metrics: float) -> Model:
    """A registered model; `age_s`: how long before START it was created."""
    return Model(
        version=ModelVersion(version),
        kind="sequence",
        created_time=START - timedelta(seconds=age_s),
        location=f"/bundles/{version}",
        digest="0" * 64,
        data_version=7,
        metrics=metrics or {"ndcg_at_10": 0.12},
        verdict=verdict,
    )


class FakeModelRegistry:
    """`before_assign` runs at each assign before it looks: a test's way to win the race against the caller."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or FakeClock()
        self._models: dict[ModelVersion, Model] = {}
        self._assignments: list[Assignment] = []
        self._lock = threading.Lock()
        self.before_assign: Callable[[], object] = lambda: None
        self.trials: Callable[[], Sequence[ModelTrial]] = tuple
        """All changes of trials; FakeTrials puts its own here."""

    def register(self, model: Model) -> None:
        known = self._models.setdefault(model.version, model)
        if _content(known) != _content(model):
            raise ValueError(f"version {model.version} is registered already, with other content")

    def get(self, version: ModelVersion) -> Model:
        if version not in self._models:
            raise UnknownVersion(f"No model has the version {version!r}.")
        return self._models[version]

    def newest(self, limit: int) -> Sequence[Model]:
        return sorted(self._models.values(), key=lambda each: (each.created_time, each.version), reverse=True)[:limit]

    def everything(self) -> Sequence[Model]:
        return self.newest(len(self._models))

    def by_origin(self, origin: str) -> Model | None:
        found = [each for each in self._models.values() if origin and each.origin == origin]
        return min(found, key=lambda each: (each.created_time, each.version), default=None)

    def judge(self, version: ModelVersion, verdict: Verdict) -> None:
        self._models[version] = replace(self.get(version), verdict=verdict)

    def pin(self, version: ModelVersion, pin: Pin | None) -> None:
        self._models[version] = replace(self.there(version), pin=pin)

    def retire(self, version: ModelVersion) -> bool:
        with self._lock:
            known, live = self.get(version), self.live()
            if known.pin is not None or (live is not None and live.version == version):
                return False
            if any(each.version == version for each in going_on(self.trials())):
                return False
            self._models[version] = replace(known, deleted_time=known.deleted_time or self._clock.now())
            return True

    def forget(self, version: ModelVersion) -> bool:
        known = self._models.get(version)
        named = {each.version for each in self._assignments} | {each.version for each in self.trials()}
        if known is None or known.deleted_time is None or version in named:
            return False
        del self._models[version]
        return True

    def live(self) -> Assignment | None:
        return self._assignments[-1] if self._assignments else None

    def assignments(self, limit: int) -> Sequence[Assignment]:
        return self._assignments[::-1][:limit]

    def assign(
        self,
        version: ModelVersion,
        *,
        actor: str,
        reason: str,
        override: bool,
        expected_generation: int,
        restores: int | None = None,
    ) -> Assignment | None:
        self.before_assign()
        self.there(version)
        new = Assignment(
            expected_generation + 1, version, actor, reason, self._clock.now(), override=override, restores=restores
        )
        with self._lock:
            if expected_generation != len(self._assignments):
                return None
            self._assignments.append(new)
        return new

    def there(self, version: ModelVersion) -> Model:
        if self.get(version).deleted_time is not None:
            raise BundleDeleted(f"The bundle of version {version} was deleted.")
        return self.get(version)


def _content(model: Model) -> Model:
    """What never changes of it."""
    return replace(model, verdict=None, pin=None, deleted_time=None)
