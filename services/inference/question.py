"""A list that is asked for: of one model, for one user, knowing what the user did and what may not be shown."""

from dataclasses import dataclass
from functools import cached_property

from services.domain.history_input import HistoryRows
from services.domain.ids import UserId
from services.domain.interactions import UserHistory
from services.inference.availability import Unavailable
from services.inference.cache_key import cache_key
from services.inference.cached_answer import decode_answer, encode_answer
from services.inference.retrieval import Rows, Vector
from services.inference.serving_model import ServingModel


@dataclass(frozen=True)
class Question:
    """Whoever asks, a request or a model that answers ahead of them, gets the same answer under the same key."""

    model: ServingModel
    unavailable: Unavailable
    user_id: UserId
    history: UserHistory
    k: int

    @cached_property
    def history_rows(self) -> HistoryRows:
        return self.model.history_rows(self.history.entries)

    @property
    def is_personal(self) -> bool:
        """Whether the model knows anything of the user; if not, the popular items are the answer."""
        return self.model.scorer.knows(self.history_rows)

    @property
    def excluded(self) -> Rows:
        """Rows that may not be in the answer, each once."""
        return self.unavailable.and_rows(self.model.known_rows(self.history.consumed))

    def key(self) -> bytes:
        """Where the answer is cached."""
        return cache_key(
            model_version=self.model.version,
            method="Recommend",
            user_id=self.user_id,
            k=self.k,
            history_version=self.history.version,
            catalog_version=self.unavailable.version,
        )

    def worked_out(self) -> tuple[Rows, Vector]:
        """The rows of the k best items, and their scores; blocks. Raises BundleBroken when the model fails on this."""
        return self.model.scorer.best(self.history_rows, self.k, self.excluded)

    def popular(self) -> tuple[Rows, Vector]:
        """The same for a user of whom the model knows nothing."""
        return self.model.index.popular(self.k, self.excluded)

    def encoded(self, rows: Rows, scores: Vector) -> bytes:
        """An answer as it is cached."""
        return encode_answer(self.model.version, rows, scores)

    def decoded(self, value: bytes) -> tuple[Rows, Vector] | None:
        """A cached answer; None when it is none to this question."""
        return decode_answer(self.model.version, self.model.index.num_items, value)
