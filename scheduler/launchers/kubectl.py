"""The few words we have with a Kubernetes API server, through `kubectl`: the operator's own, with their own access."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.chain import StepFailed
from services.domain.errors import MissingDependency

TIMEOUT_S: Final = 30.0  # larger: a hung call holds a stop up; smaller: a busy API server seems away
LOG_LINES: Final = 200  # of the pod, as many as a step keeps
PERMANENT: Final = ("(Forbidden)", "(Invalid)", "(BadRequest)", "error validating", "is invalid", "Unauthorized")
"""In kubectl's words: what asking again does not mend."""
MAX_DETAIL: Final = 400  # larger: a page in a table; smaller: the cause is cut off


class ApiAway(Exception):
    """The API server did not answer, or not to the point; ask again."""


@dataclass(frozen=True)
class Kubectl:
    """Methods block for at most TIMEOUT_S. They raise ApiAway, StepFailed where asking again is no use, and
    MissingDependency where there is no kubectl on the PATH.
    """

    namespace: str

    def apply(self, manifest: str) -> None:
        """Makes the Job; one of this name that is there already is the first of two tries, and stays as it is."""
        status, _, problem = self._run("apply", "-f", "-", given=manifest)
        if status and "AlreadyExists" not in problem and "field is immutable" not in problem:
            raise _error(problem, *PERMANENT, "(NotFound)")  # the namespace

    def job(self, name: str) -> Mapping[str, Any] | None:
        """The Job as the API server has it; None when there is none of this name."""
        status, said, problem = self._run("get", "job", name, "-o", "json")
        if status and "(NotFound)" in problem:
            return None
        if status:
            raise _error(problem)
        try:
            document = json.loads(said)
        except ValueError as error:
            raise ApiAway(f"kubectl said what is no JSON: {said[:80]!r}") from error
        return document if isinstance(document, dict) else None

    def delete(self, name: str) -> None:
        """Ends the pods and then the Job; does not wait for that, but the Job is there for as long as a pod of it."""
        options = ("--ignore-not-found", "--wait=false", "--cascade=foreground")
        status, _, problem = self._run("delete", "job", name, *options)
        if status:
            raise _error(problem)

    def log_lines(self, name: str) -> list[str]:
        """The last lines that the Job's pod wrote; none where they cannot be had."""
        status, said, _ = self._run("logs", f"job/{name}", f"--tail={LOG_LINES}")
        return [] if status else said.splitlines()

    def _run(self, *arguments: str, given: str | None = None) -> tuple[int, str, str]:
        program = shutil.which("kubectl")
        if program is None:
            raise MissingDependency("night.launcher is kubernetes, but there is no kubectl on the PATH; install it.")
        command = [program, "--namespace", self.namespace, f"--request-timeout={TIMEOUT_S / 2:g}s", *arguments]
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, errors="replace"
            )
        except subprocess.TimeoutExpired as error:
            raise ApiAway(f"kubectl {arguments[0]} took longer than {TIMEOUT_S:g} s") from error
        return done.returncode, done.stdout, done.stderr.strip()


def _error(problem: str, *permanent: str) -> ApiAway | StepFailed:
    last = problem.rpartition("\n")[2][:MAX_DETAIL]
    if any(words in problem for words in permanent or PERMANENT):
        return StepFailed(f"Kubernetes refused: {last}", retry=False)
    return ApiAway(last)
