"""Champion and challengers on the same held-out questions: who is better, by how much, and how sure that is.

Nothing is fitted here but popularity. Whether a challenger then serves is for the gate to say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from services.domain.errors import BundleBroken, InvalidRequest, TrainingFailed
from services.domain.ids import ModelVersion
from services.training.evaluation.comparison import gain
from services.training.evaluation.holdout import (
    TOP,
    Measurement,
    asked,
    fitted_popularity,
    measurement,
    num_bad_vectors,
    told,
)  # fmt: skip
from services.training.evaluation.metrics import Doubles
from services.training.evaluation.ranking import Ranked, rank_targets
from services.training.judging.against import against_champion
from services.training.judging.version import AmongTonight, Published, Tonight
from services.training.kinds.popularity import of_last_days
from services.training.model import Floats

WEEK_DAYS: Final = 7.0

Report: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Is told of every stage, as the JSON lines of `python -m services.training.judging` show them."""


@dataclass(frozen=True)
class Contender:
    """A version, what it answered, and what that says."""

    published: Published
    measurement: Measurement

    @property
    def found(self) -> Ranked:
        return self.measurement.found

    @property
    def by_user(self) -> Doubles:
        """(num_users,) the mean NDCG@10 of each user asked, in order of their rows."""
        judged = self.found.by_moment
        _, members = np.unique(judged.user_rows, return_inverse=True)
        means: Doubles = np.bincount(members, judged.ndcg(TOP)) / np.bincount(members)
        return means


@dataclass(frozen=True)
class Comparison:
    challengers: Mapping[ModelVersion, Contender]
    figures: Mapping[ModelVersion, Mapping[str, float]]
    """Of each challenger: what `holdout.measured` gives, and what sets it beside the champion and the last week."""
    champion: Contender | None
    champion_problem: str = ""
    """Why there is no champion to compare with, in one sentence; empty where there is one, or none was named."""
    champion_saw_holdout: bool = False

    @property
    def found(self) -> Ranked:
        """Some version's answers: the questions are everybody's."""
        return next(iter(self.challengers.values())).found

    @property
    def num_questions(self) -> int:
        """Lists of which anything is asked."""
        return len(np.unique(self.found.questions))


class Judge:
    """seed: of the intervals. report: is told of every version as its turn comes."""

    def __init__(self, tonight: Tonight, seed: int, report: Report) -> None:
        self._tonight, self._seed, self._report = tonight, seed, report
        dataset = tonight.dataset
        self._cut_us = dataset.bounds_us["cut_us"]
        self._moments = asked(dataset)
        self._popular, self._weekly = (
            self._by_popularity(scores)
            for scores in (fitted_popularity(dataset).scores, of_last_days(dataset, WEEK_DAYS))
        )

    def judge(
        self, challengers: Sequence[Published], champion: Published | None, champion_problem: str = ""
    ) -> Comparison:
        """Blocks. champion_problem: why the champion that was named could not be read.

        Raises InvalidRequest for a challenger that has seen some of the holdout, BundleBroken and TrainingFailed for
        one that cannot answer, and NotEnoughData when there is nothing to ask.
        """
        for each in challengers:
            if each.cut_us is None or each.cut_us > self._cut_us:
                raise InvalidRequest("--challengers", f"names {each.version}, which has seen some of what is held out")
        saw_holdout = False
        against: Contender | None = None
        if champion is not None:
            champion_problem, saw_holdout = self._unfit(champion)
            if not champion_problem:
                against, champion_problem = self._champion(champion)
        judged = {each.version: self._judged(each, "challenger") for each in challengers}
        figures = {version: self._figures(each, against) for version, each in judged.items()}
        return Comparison(judged, figures, against, champion_problem, saw_holdout)

    def _unfit(self, champion: Published) -> tuple[str, bool]:
        """Why a champion cannot be compared, and whether it saw the holdout; ("", False) for one that can."""
        if champion.cut_us is None:
            return f"{champion.version} does not say which events it has seen.", False
        if champion.cut_us > self._cut_us:
            return f"{champion.version} has seen some of what is held out.", True
        return "", False

    def _champion(self, champion: Published) -> tuple[Contender | None, str]:
        try:
            return self._judged(champion, "champion"), ""
        except (BundleBroken, TrainingFailed) as error:
            return None, f"{champion.version} cannot answer: {error}"

    def _judged(self, published: Published, role: str) -> Contender:
        self._report({"event": "stage", "name": "judge", "version": published.version, "role": role})
        found = AmongTonight(published, self._tonight).ranked(self._moments)
        num_bad = num_bad_vectors(published.served.item_vectors)
        return Contender(published, measurement(found, self._popular, self._tonight.dataset, self._seed, num_bad))

    def _figures(self, challenger: Contender, champion: Contender | None) -> dict[str, float]:
        found = challenger.found
        judged, weekly = found.by_moment, self._weekly.by_moment.ndcg(TOP)
        better = gain(judged.ndcg(TOP), weekly, judged.user_rows, seed=self._seed)
        figures = {
            **challenger.measurement.figures,
            "week_popularity_ndcg_at_10": float(weekly.mean()),
            **told("ndcg_vs_week_popularity_at_10", better),
        }
        if champion is None:
            return figures
        known = frozenset(challenger.published.vocabulary.item_ids)
        return {
            **figures,
            **against_champion(found, champion.found, self._tonight.dataset, self._seed),
            "vocabulary_overlap": self._tonight.share_known(champion.published.vocabulary.item_ids, known),
        }

    def _by_popularity(self, scores: Floats) -> Ranked:
        """To the same questions; nobody's history matters."""
        dataset = self._tonight.dataset
        return rank_targets(
            lambda histories: np.broadcast_to(scores, (len(histories), len(scores))),
            self._moments, dataset.histories, scores, max_history=1,
        )  # fmt: skip
