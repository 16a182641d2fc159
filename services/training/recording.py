"""What a run says of itself, in the catalog database, too; training never waits for that, and never fails of it.

The row is written by a thread of its own, which knows only how the run is now: what happens while the database is slow
or away is not lost but written over. Once a minute it gives word although nothing is new, so that the row of a process
that was killed can be told by its silence.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

import structlog

from services.domain.errors import CatalogDown, NightjarError
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.ports import Clock, TrainingRuns
from services.domain.training_runs import TrainingRun, TrainingState, seconds_left
from services.training.job import Report, name_by_time

MAX_DETAIL: Final = 1_000  # characters. Larger: an error that quotes its input fills the table; smaller: it is cut off

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 60.0  # larger: nearer to `SILENT_AFTER`, so the living look dead; smaller: idle writes
LAST_WORD_S: Final = 3.0
"""What the end of a run may wait for the database. Larger: a run that is told to stop is late (grace is 10 s); smaller:
a busy database does not learn how it ended."""


def recorded(
    runs: TrainingRuns, clock: Clock, kind: str, trigger: str, report: Report, train: Callable[[Report], Model]
) -> Model:
    """What `train` returns, and raises, keeping in the table what it reports on its way and how it ends."""
    now = clock.now()
    begun = TrainingRun(f"run-{name_by_time(now)}", kind, trigger, now, now)
    log.info("training_run_begun", run_id=begun.run_id)
    with Recording(runs, clock, begun) as recording:

        def tell(line: Mapping[str, Any]) -> None:
            recording.hear(line)
            report(line)

        model = train(tell)
        recording.complete(model.version)
    return model


class Recording:
    """Keeps a run's row as the run is, from `with` to its end; an error that ends it is passed on.

    heartbeat_s: word is given at least so often. last_word_s: how long the end may wait for the database.
    """

    def __init__(
        self,
        runs: TrainingRuns,
        clock: Clock,
        begun: TrainingRun,
        heartbeat_s: float = HEARTBEAT_S,
        last_word_s: float = LAST_WORD_S,
    ) -> None:
        self._runs, self._clock = runs, clock
        self._heartbeat_s, self._last_word_s = heartbeat_s, last_word_s
        self._run, self._has_news, self._has_ended = begun, True, False
        self._changed = threading.Condition()
        """Guards the line above."""
        self._has_warned = False
        # A daemon, so that a database that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._keep, name="training-run", daemon=True)

    def __enter__(self) -> "Recording":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._change(state=TrainingState.FAILED, left_s=None, detail=_why(error))
        with self._changed:
            self._has_ended = True
            self._changed.notify()
        self._thread.join(self._last_word_s)

    def hear(self, line: Mapping[str, Any]) -> None:
        """Takes what the job reports, see `job.Report`, from any thread; returns at once."""
        if line["event"] == "stage":
            self._change(stage=line["name"], left_s=None, **({"mode": line["mode"]} if "mode" in line else {}))
        else:
            self._change(
                epoch=line["epoch"],
                max_epochs=line["max_epochs"],
                loss=line["loss"],
                valid_ndcg_at_10=line["valid_ndcg_at_10"] or None,  # 0: nothing could be predicted, or nobody looked
                examples_per_s=line["examples_per_s"],
                left_s=seconds_left(line["epoch"], line["max_epochs"], line["elapsed_s"]),
            )

    def complete(self, version: ModelVersion) -> None:
        self._change(state=TrainingState.COMPLETED, left_s=None, version=version)

    def _change(self, **news: Any) -> None:
        with self._changed:
            self._run = replace(self._run, update_time=self._clock.now(), **news)
            self._has_news = True
            self._changed.notify()

    def _keep(self) -> None:
        """The thread: ends once the run has, and its last state was tried."""
        try:
            has_ended = False
            while not has_ended:
                with self._changed:
                    if not self._changed.wait_for(lambda: self._has_news or self._has_ended, self._heartbeat_s):
                        self._run = self._run.at(self._clock.now())
                    self._has_news, run, has_ended = False, self._run, self._has_ended
                self._write(run)
        except Exception:  # the outermost frame of this thread
            log.exception("training_run_recording_broke", run_id=self._run.run_id)

    def _write(self, run: TrainingRun) -> None:
        try:
            self._runs.record(run)
        except CatalogDown as error:
            if not self._has_warned:
                log.warning("training_run_not_recorded", run_id=run.run_id, why=str(error))
            self._has_warned = True


def _why(error: BaseException) -> str:
    if isinstance(error, NightjarError):
        return str(error)[:MAX_DETAIL]
    if isinstance(error, Exception):
        return f"Unexpected {type(error).__name__}; the log has the rest."
    return "It was told to stop."
