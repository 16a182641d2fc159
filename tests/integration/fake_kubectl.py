"""A `kubectl` on the PATH that plays an API server's answers, and writes down what it was asked.

`gets` are the answers to `get job`, one after the other, the last one for ever: gone, pending, running, complete,
failed, late (past its deadline), going (being deleted), away.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
arguments = [each for each in sys.argv[1:] if not each.startswith("--request-timeout")]
assert arguments[:2] == ["--namespace", "ml"], arguments
verb, *rest = arguments[2:]
with (folder / "asked").open("a") as asked:
    asked.write(" ".join([verb, *rest]) + "\\n")

def refuse(problem):
    sys.stderr.write(problem + "\\n")
    sys.exit(1)

if verb == "apply":
    (folder / "applied.yaml").write_text(sys.stdin.read())
    if problem := (folder / "apply_problem").read_text():
        refuse(problem)
elif verb == "delete":
    # Else a pod that is still going and that of the next Job would train side by side.
    assert "--cascade=foreground" in rest, rest
elif verb == "logs":
    sys.stdout.write((folder / "pod.log").read_text())
elif verb == "get":
    left = json.loads((folder / "gets.json").read_text())
    answer = left[0]
    if len(left) > 1:  # else a test may write beside us
        (folder / "gets.json").write_text(json.dumps(left[1:]))
    if answer == "gone":
        refuse(f'Error from server (NotFound): jobs.batch "{{rest[1]}}" not found')
    if answer == "away":
        refuse("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?")
    metadata = {{"name": rest[1], "creationTimestamp": "2026-01-31T02:00:00Z"}}
    if answer == "going":
        metadata["deletionTimestamp"] = "2026-01-31T02:00:00Z"
    status = {{
        "pending": {{"active": 1, "ready": 0}},
        "running": {{"active": 1, "ready": 1}},
        "complete": {{"conditions": [{{"type": "SuccessCriteriaMet", "status": "True"}},
                                    {{"type": "Complete", "status": "True"}}]}},
        "failed": {{"conditions": [{{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                                    "message": "Job has reached the specified backoff limit"}}]}},
        "late": {{"conditions": [{{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}}]}},
        "going": {{}},
    }}[answer]
    print(json.dumps({{"metadata": metadata, "status": status}}))
"""


@dataclass(frozen=True)
class FakeKubectl:
    folder: Path

    def play(self, *gets: str, pod_log: Sequence[object] = (), apply_problem: str = "") -> None:
        self.folder.mkdir()
        program = self.folder / "kubectl"
        program.write_text(SCRIPT.format(python=sys.executable))
        program.chmod(0o755)
        (self.folder / "gets.json").write_text(json.dumps(gets))
        lines = (each if isinstance(each, str) else json.dumps(each) for each in pod_log)
        (self.folder / "pod.log").write_text("".join(f"{line}\n" for line in lines))
        (self.folder / "apply_problem").write_text(apply_problem)

    def answer(self, get: str) -> None:
        """From now on; once the answers before are used up."""
        draft = self.folder / "gets.draft"
        draft.write_text(json.dumps([get]))
        draft.replace(self.folder / "gets.json")

    @property
    def asked(self) -> list[str]:
        """The first word of each request but `get`."""
        verbs = [line.split()[0] for line in (self.folder / "asked").read_text().splitlines()]
        return [verb for verb in verbs if verb != "get"]

    @property
    def applied(self) -> str:
        return (self.folder / "applied.yaml").read_text()
