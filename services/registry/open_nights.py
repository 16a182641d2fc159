"""What nights that may go on still need: every version that their steps name, and those they trained."""

from collections.abc import Iterator, Sequence

from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.nights import NIGHT, NightBook
from services.domain.runs import RunBook, RunState


def versions_in_hand(runs: RunBook, nights: NightBook, models: Sequence[Model]) -> set[ModelVersion]:
    """Of these models, those of the newest night unless it ended well: it goes on, or an operator may resume it.

    With what they were started from. Raises CatalogDown.
    """
    found = set[ModelVersion]()
    for night in runs.newest(1, NIGHT):
        if night.state is RunState.SUCCEEDED:
            continue
        steps = nights.steps(night.run_id)
        said = {text for step in steps for told in (step.inputs, step.outputs) for text in _texts_in(told)}
        ours = [each for each in models if each.version in said or each.origin.startswith(f"night-{night.run_id}/")]
        found.update(each.version for each in ours)
        found.update(each.parent for each in ours if each.parent is not None)
    return found


def _texts_in(value: object) -> Iterator[str]:
    """All texts of a JSON value, the names of its fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from (name, *_texts_in(part))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts_in(part)
