"""One try: a model of some settings is fitted, and measured on validation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.domain.errors import NotEnoughData
from services.domain.tuning import TunedSettings
from services.training.data.dataset import Dataset
from services.training.evaluation.ranking import rank_targets
from services.training.model import EpochReport, TrainableModel

TOP: Final = 10
MAX_QUESTIONS: Final = 5_000  # larger: trials wait for their measurement; smaller: chance chooses among them


@dataclass(frozen=True)
class Trying:
    dataset: Dataset
    make_model: Callable[[TunedSettings], TrainableModel]
    """Raises InvalidSettings for settings that do not go together."""
    max_history: int

    def ndcg(self, settings: TunedSettings, on_epoch: Callable[[EpochReport], None]) -> float:
        """NDCG@10 on validation of the fitted model; raises what `fit` raises, and whatever on_epoch does."""
        dataset, model = self.dataset, self.make_model(settings)
        model.fit(dataset, on_epoch)
        moments = dataset.validation.thinned(MAX_QUESTIONS)
        found = rank_targets(model.score, moments, dataset.histories, dataset.popularity, self.max_history)
        if not len(found):
            raise NotEnoughData("Every validation event repeats an item its user was done with; nothing can be chosen.")
        return float(found.by_moment.ndcg(TOP).mean())
