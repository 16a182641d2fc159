"""Training runs in a dict."""

from collections.abc import Sequence

from services.domain.training_runs import TrainingRun


class FakeTrainingRuns:
    def __init__(self) -> None:
        self._runs: dict[str, TrainingRun] = {}

    def record(self, run: TrainingRun) -> None:
        self._runs[run.run_id] = run

    def newest(self, limit: int) -> Sequence[TrainingRun]:
        return sorted(self._runs.values(), key=lambda run: (run.start_time, run.run_id), reverse=True)[:limit]
