"""A night told as a page of Markdown: how it ended, what each step found, how the challengers did, and each rule."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from scheduler.facts import CHECK, EVALUATE, PIN, REPORT, SWAP, TRAIN, Facts
from services.domain.models import Model
from services.domain.nights import StepRow
from services.domain.runs import Run, RunState

HEADLINES: Final[Mapping[RunState, str]] = {
    RunState.SUCCEEDED: "a new model is live",
    RunState.REFUSED: "nothing went live, on purpose",
    RunState.FAILED: "it failed, and the model of before serves on",
    RunState.TIMED_OUT: "it took too long, and the model of before serves on",
}
FIGURES: Final[Mapping[str, str]] = {
    "ndcg_at_10": "NDCG@10",
    "hr_at_10": "hit rate@10",
    "recall_at_20": "recall@20",
    "coverage_at_10": "coverage@10",
    "gini_at_10": "Gini of exposure",
    "novelty_at_10": "novelty@10, bits",
}


def night(
    run: Run, state: RunState, detail: str, rows: Sequence[StepRow], facts: Facts, models: Sequence[Model]
) -> str:
    """The page. `models`: those that the night trained, with their verdicts."""
    lines = [f"# Night {run.run_id}: {HEADLINES[state]}", "", detail, ""]
    lines += [f"Begun {_moment(run.start_time)} ({run.trigger})."]
    for part in (_steps(rows), _data(facts), _challengers(facts, models), _verdicts(facts, models)):
        told = list(part)
        lines += ["", *told] if told else []
    return "\n".join(lines) + "\n"


def _steps(rows: Sequence[StepRow]) -> Iterator[str]:
    yield "## Steps"
    yield ""
    yield from _table(
        ["step", "state", "attempts", "took", "what it found"],
        (
            [row.name, row.state.value, str(row.attempts), took(row), row.detail or found(row)]
            for row in rows
            if row.name != REPORT
        ),
    )


def _data(facts: Facts) -> Iterator[str]:
    findings = facts.outputs.get(CHECK, {}).get("findings", [])
    if findings:
        yield "## Data"
        yield ""
        yield from _table(
            ["check", "figure", "holds", "in words"],
            ([each["rule"], _number(each["figure"]), _yes(each["passed"]), each["sentence"]] for each in findings),
        )


def _challengers(facts: Facts, models: Sequence[Model]) -> Iterator[str]:
    if EVALUATE not in facts.outputs:
        return
    figures = {model.version: facts.figures(model.version) for model in models}
    first: Mapping[str, float] = next(iter(figures.values()), {})
    yield "## Challengers and champion, on the same held-out events"
    yield ""
    head = ["", *(f"{name} ({version})" for name, version in facts.trained.items())]
    with_champion = "champion_ndcg_at_10" in first
    head += [f"champion ({facts.champion})"] if with_champion else []
    rows = []
    for name, words in FIGURES.items():
        row = [words, *(_number(figures[model.version].get(name)) for model in models)]
        rows.append([*row, _number(first.get(f"champion_{name}"))] if with_champion else row)
    gains = [_interval(figures[model.version], "ndcg_gain_at_10") for model in models]
    rows.append(["NDCG@10 over popularity", *gains, *(["–"] if with_champion else [])])
    if with_champion:
        beside = [_interval(figures[model.version], "ndcg_vs_champion_at_10") for model in models]
        rows.append(["NDCG@10 beside the champion", *beside, "–"])
    yield from _table(head, rows)


def _verdicts(facts: Facts, models: Sequence[Model]) -> Iterator[str]:
    for model in models:
        if model.verdict is None or EVALUATE not in facts.outputs:
            continue
        yield f"## The gate on {model.version}: {'passed' if model.verdict.passed else 'refused'}"
        yield ""
        yield from _table(
            ["rule", "figure", "threshold", "holds", "in words"],
            (
                [each.rule, _number(each.figure), _number(each.threshold), _yes(each.passed), each.sentence]
                for each in model.verdict.findings
            ),
        )
        yield ""


def found(row: StepRow) -> str:
    """A step's outputs in a few words."""
    outputs: Mapping[str, Any] = row.outputs or {}
    if row.name == PIN:
        return f"version {outputs.get('data_version')} of the log, {outputs.get('num_events', 0):,} events"
    if row.name.startswith(TRAIN):
        return str(outputs.get("version", ""))
    if row.name == CHECK and "findings" in outputs:
        num_broken = sum(not each["passed"] for each in outputs["findings"])
        return f"{len(outputs['findings'])} checks, {num_broken or 'none'} broken"
    if row.name == EVALUATE and "num_questions" in outputs:
        return f"{outputs['num_questions']:,} questions, beside {outputs.get('compared_with') or 'nothing'}"
    if row.name == SWAP:
        return f"{outputs.get('version')} is live, generation {outputs.get('generation')}"
    for name in ("found", "chosen", "location"):
        if outputs.get(name) is not None:
            return str(outputs[name])
    return ""


def took(row: StepRow) -> str:
    """Such as 3.2 s or 12 min; of the newest attempt."""
    if row.end_time is None:
        return "–"
    seconds = (row.end_time - row.start_time).total_seconds()
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _table(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"


def _interval(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "–"
    low, high = figures.get(f"{name}_low", 0.0), figures.get(f"{name}_high", 0.0)
    return f"{figures[name]:+.4f} ({low:+.4f} to {high:+.4f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) < 1e9 else f"{value:g}"


def _yes(passed: bool) -> str:
    return "yes" if passed else "**no**"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
