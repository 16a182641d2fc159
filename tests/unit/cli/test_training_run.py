"""A training child is followed, its failures are told apart, and it is never left behind."""

import os
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.cli.training_run import TrainingProgress, run_training
from services.domain.errors import NightjarError, NotEnoughData, StartFailed, TrainingFailed
from services.settings import Settings, load
from tests.waiting import wait_until

EPOCH = (
    '{"event": "epoch", "epoch": 2, "max_epochs": 6, "loss": 5.5, "valid_ndcg_at_10": 0.08, '
    '"examples_per_s": 20000.0, "elapsed_s": 8.0}'
)
DONE = '{"event": "done", "version": "v1", "metrics": {"ndcg_at_10": 0.08}}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path / "home")


def saying(*lines: str, then: str = "") -> list[str]:
    """A child that prints these lines and then does something."""
    return [sys.executable, "-c", f"for line in {lines!r}: print(line, flush=True)\n{then}"]


def test_the_outcome_is_what_the_child_said_last(settings: Settings) -> None:
    outcome = run_training(settings, lambda _: None, command=saying(DONE))
    assert outcome.version == "v1"
    assert outcome.metrics == {"ndcg_at_10": 0.08}
    assert outcome.wall_s > 0


def test_progress_is_passed_on_with_the_time_left(settings: Settings) -> None:
    """Two of six epochs took 8 s, so 16 s are left at most; what is no progress is passed over."""
    seen: list[TrainingProgress] = []
    lines = ('{"event": "stage", "name": "fit"}', "a warning of some library", "[1]", EPOCH, DONE)
    run_training(settings, seen.append, command=saying(*lines))
    assert [(each.stage, each.epoch) for each in seen] == [("read", 0), ("fit", 0), ("fit", 2)]
    assert seen[-1].left_s == pytest.approx(16.0)
    assert "epoch 2 of 6" in seen[-1].sentence


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("NOT_ENOUGH_DATA", NotEnoughData),
        ("START_FAILED", StartFailed),
        ("TRAINING_FAILED", TrainingFailed),
        ("NEW", TrainingFailed),
    ],
)
def test_a_failure_keeps_its_kind_and_its_sentence(settings: Settings, reason: str, error: type[NightjarError]) -> None:
    failed = f'{{"event": "failed", "reason": "{reason}", "message": "Send more events."}}'
    with pytest.raises(error, match="Send more events"):
        run_training(settings, lambda _: None, command=saying(failed, then="exit(1)"))


@pytest.mark.parametrize(
    ("then", "word"), [("exit(3)", "status 3"), ("import os; os.kill(os.getpid(), 9)", "SIGKILL"), ("", "status 0")]
)
def test_a_child_that_dies_without_a_word_names_its_log(settings: Settings, then: str, word: str) -> None:
    with pytest.raises(TrainingFailed, match=rf"{word}.*training\.log"):
        run_training(settings, lambda _: None, command=saying(EPOCH, then=then))


def test_what_the_child_logs_is_kept(settings: Settings) -> None:
    logging = "import sys; sys.stderr.write('a line of the log')"
    run_training(settings, lambda _: None, command=saying(then=f"{logging}; print({DONE!r})"))
    assert (settings.home_folder / "logs" / "training.log").read_text() == "a line of the log"


def test_the_child_gets_exactly_these_settings(settings: Settings, tmp_path: Path) -> None:
    then = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['NIGHTJAR_HOME']); print({DONE!r})"
    run_training(settings, lambda _: None, command=saying(then=then))
    assert (tmp_path / "seen").read_text() == str(settings.home_folder)


def test_ctrl_c_leaves_no_child_behind(settings: Settings) -> None:
    """The child has a child of its own; both are gone when the interrupt comes through."""
    children: list[psutil.Process] = []
    of_other_tests = psutil.Process().children(recursive=True)  # a session's Kafka, say

    def interrupt(progress: TrainingProgress) -> None:
        if progress.epoch:
            children.extend(set(psutil.Process().children(recursive=True)).difference(of_other_tests))
            raise KeyboardInterrupt

    parent = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    command = saying(then=parent + f"print({EPOCH!r}, flush=True); time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        run_training(settings, interrupt, command=command)
    assert len(children) == 2
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))


def test_sigterm_to_the_child_is_told_as_a_failure(settings: Settings) -> None:
    """Somebody ends the training process: the command says so instead of waiting."""

    of_other_tests = psutil.Process().children()

    def end_it(progress: TrainingProgress) -> None:
        if progress.epoch:
            for child in set(psutil.Process().children()).difference(of_other_tests):
                threading.Thread(target=os.kill, args=(child.pid, signal.SIGTERM)).start()

    with pytest.raises(TrainingFailed, match="SIGTERM"):
        run_training(settings, end_it, command=saying(EPOCH, then="import time; time.sleep(600)"))
