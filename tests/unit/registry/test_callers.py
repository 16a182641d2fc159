"""Whoever changes the live model has the workers get ready first."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CHANGES = {"promote", "rollback", "gate_and_promote"}


def called(call: ast.Call) -> str:
    """What is called, or will be when it is a partial."""
    name = ast.unparse(call.func)
    return (ast.unparse(call.args[0]) if name == "partial" else name).removeprefix("promotion.")


def changes_without_rollout(path: Path) -> list[str]:
    """Calls of a change, or of `partial` with one, that say nothing of a rollout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and called(node) in CHANGES
        and not any(keyword.arg == "rollout" for keyword in node.keywords)
    ]


def test_every_caller_prepares_the_workers() -> None:
    """Without, each would load when it sees the change, and a broken bundle would be live."""
    sources = [path for folder in ("services", "scheduler") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    callers = [path for path in sources if "registry.promotion" in (text := path.read_text()) or "promotion." in text]
    assert len(callers) >= 4
    assert [each for path in callers for each in changes_without_rollout(path)] == []
