"""Which study a search belongs to: a new one, or one that it goes on with, if that is of the same data and settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.domain.errors import InvalidRequest
from services.domain.ports import TuningTrials
from services.domain.tuning import Study


def opened(trials: TuningTrials, wanted: Study, ends: Callable[[int], tuple[int, int]]) -> Study:
    """The study of the wanted one's name: what is stored, or else the wanted one with the ends of its parts.

    ends: (fit_end_us, cut_us) of a version of the log; is asked only for a new study. Raises InvalidRequest when what
    is stored is of another version of the log or of other settings than wanted: its figures do not compare.
    """
    stored = trials.study(wanted.name)
    if stored is None:
        fit_end_us, cut_us = ends(wanted.data_version)
        stored = trials.open(replace(wanted, fit_end_us=fit_end_us, cut_us=cut_us))
    then, now = _said(stored), _said(wanted)
    differ = [name for name in now | then if then.get(name) != now.get(name)]
    if differ:
        listed = "; ".join(f"{name} {then.get(name)}, now {now.get(name)}" for name in differ)
        raise InvalidRequest("--study", f"{wanted.name} was begun with {listed}; begin another with --study NAME.")
    if stored.data_version != wanted.data_version:
        raise InvalidRequest(
            "--study",
            f"{wanted.name} is of version {stored.data_version} of the log, not {wanted.data_version}; begin another "
            f"with --study NAME, or go on with this one by --data-version {stored.data_version}.",
        )
    return stored


def _said(study: Study) -> dict[str, Any]:
    return {"kind": study.kind, "seed": study.seed, **study.fixed}
