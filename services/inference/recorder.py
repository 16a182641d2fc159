"""Where serving counts: the metrics of `domain/metrics.py`, as prometheus-client objects of this process."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from prometheus_client import Counter, Gauge

from services.domain.metrics import (
    CACHE_LOOKUPS,
    MODEL_GENERATION,
    MODEL_PREPARATIONS,
    MODEL_SWAPS,
    STAGE_SECONDS,
    TRIAL_ANSWERS,
)
from services.domain.trials import TrialKind
from services.domain.vitals import VitalsCounter
from services.inference.stages import Stages
from services.rpc.histogram import LoopHistogram
from services.rpc.recorder import CallRecorder

OF_THE_MODEL: Final = ("/Recommend", "/RankItems")  # how the full names of the methods end
_CACHE_OUTCOMES: Final[Mapping[bool, str]] = {True: "hit", False: "miss"}
_PREPARATION_OUTCOMES: Final[Mapping[bool, str]] = {True: "ready", False: "failed"}
_SWAP_OUTCOMES: Final[Mapping[bool, str]] = {True: "swapped", False: "failed"}


FAULTS: Final = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""gRPC's words for what the caller did not cause."""


# Seconds. A stage takes tens of microseconds; Redis far away, milliseconds.
_STAGE_BUCKETS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)

_IS_CANARYS: Final[ContextVar[bool]] = ContextVar("is_canarys", default=False)
"""Of the present call; each call has a context of its own, in which it is also counted."""


class Recorder(CallRecorder):
    """The counters of one worker. `vitals`: of the live model's recommendations, for whoever watches a new model."""

    def __init__(self) -> None:
        super().__init__()
        self.vitals = VitalsCounter()
        on = self.registry
        self._lookups = Counter(CACHE_LOOKUPS.name, CACHE_LOOKUPS.meaning, CACHE_LOOKUPS.labels, registry=on)
        self._lookups_by = {hit: self._lookups.labels(word) for hit, word in _CACHE_OUTCOMES.items()}
        self._stages = LoopHistogram(STAGE_SECONDS, _STAGE_BUCKETS, on)
        self._swaps = Counter(MODEL_SWAPS.name, MODEL_SWAPS.meaning, MODEL_SWAPS.labels, registry=on)
        self._preparations = Counter(
            MODEL_PREPARATIONS.name, MODEL_PREPARATIONS.meaning, MODEL_PREPARATIONS.labels, registry=on
        )
        self._trials = Counter(TRIAL_ANSWERS.name, TRIAL_ANSWERS.meaning, TRIAL_ANSWERS.labels, registry=on)
        self._generation = Gauge(MODEL_GENERATION.name, MODEL_GENERATION.meaning, registry=on)

    def request(self, method: str, code: str, seconds: float) -> None:
        """See CallRecorder."""
        super().request(method, code, seconds)
        if method.endswith(OF_THE_MODEL) and not _IS_CANARYS.get():
            self.vitals.call(seconds, failed=code in FAULTS)

    def stages(self, stages: Stages) -> None:
        """Where the time of one answer went."""
        for stage, seconds in stages.taken_s.items():
            self._stages.observe(stage, seconds)

    def cache_lookup(self, *, hit: bool) -> None:
        self._lookups_by[hit].inc()

    def model_swap(self, *, succeeded: bool) -> None:
        self._swaps.labels(_SWAP_OUTCOMES[succeeded]).inc()

    def model_preparation(self, *, succeeded: bool) -> None:
        self._preparations.labels(_PREPARATION_OUTCOMES[succeeded]).inc()

    def canary_answers(self) -> None:
        """The present call is not the live model's: a bad canary must not have a watch take back a good live model."""
        _IS_CANARYS.set(True)
        self.trial_answer(TrialKind.CANARY, "answered")

    def degraded(self) -> None:
        """The answer to the present call is simpler than it should be."""
        if not _IS_CANARYS.get():
            self.vitals.degraded()

    def trial_answer(self, kind: TrialKind, outcome: str) -> None:
        """outcome: `answered`, `failed` or, for a shadow that was busy, `dropped`."""
        self._trials.labels(kind, outcome).inc()

    def model_generation(self, generation: int) -> None:
        self._generation.set(generation)
