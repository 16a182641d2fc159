"""What a model is trained, stopped early and measured on. Built by `assembly` from a split of the log's events."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.vocabulary import Vocabulary
from services.features.history import EventTypeRows, Histories, ItemRows, Rows
from services.training.data.content import ItemContent

Weights: TypeAlias = npt.NDArray[np.float32]
SORTED_EVENTS: Final = 2_000_000  # larger: 40 bytes more memory each; smaller: more passes over all


@dataclass(frozen=True)
class Moments:
    """Positive events to be predicted, in the log's order: who, when, and what they chose. All int64 (num_moments,)."""

    user_rows: Rows
    times_us: Rows
    """When the question is asked: what is known of the user is what happened before."""
    targets: Rows
    """Item rows; 0 for an item the vocabulary lacks, which no model can hit."""
    event_types: Rows
    """Event-type rows of what they did."""

    def __len__(self) -> int:
        return len(self.targets)

    def chosen(self, which: npt.NDArray[np.bool_] | Rows) -> "Moments":
        return Moments(self.user_rows[which], self.times_us[which], self.targets[which], self.event_types[which])

    @property
    def questions(self) -> tuple[Rows, Rows]:
        """What is asked: the distinct (user row, time), int64 (2, num_questions), and which of them each moment is."""
        keys = np.stack((self.user_rows, self.times_us))
        asked, question_of = np.unique(keys, axis=1, return_inverse=True)
        return asked, question_of.ravel()

    def thinned(self, num_questions: int) -> "Moments":
        """Those of so many questions, spread evenly over the moments, with all that was chosen of each.

        A list that is judged by some of it is judged by less than there was to find.
        """
        _, question_of = self.questions
        firsts = np.sort(np.unique(question_of, return_index=True)[1])  # of each question its first moment
        if len(firsts) <= num_questions:
            return self
        spread = firsts[np.linspace(0, len(firsts) - 1, num_questions).astype(np.int64)]
        is_kept = np.zeros(len(firsts), np.bool_)
        is_kept[question_of[spread]] = True
        return self.chosen(is_kept[question_of])


@dataclass(frozen=True)
class TrainingSequences:
    """What the parameters learn from, user after user, oldest first within each."""

    items: ItemRows
    """(num_events,) item rows."""
    types: EventTypeRows
    """(num_events,) event-type rows."""
    times_us: Rows
    """(num_events,) microseconds since the epoch."""
    weights: Weights
    """(num_events,) what each event says, signed: the weight of its type as judged."""
    starts: Rows
    """(num_users + 1,) where each user's events start."""
    asked: npt.NDArray[np.int32]
    """(num_targets,) the position that is asked for each target, ascending: see `assembly.targets`."""
    wanted: npt.NDArray[np.int32]
    """(num_targets,) the position of the positive event that is the target."""

    @property
    def targets(self) -> Rows:
        """(num_targets,) item rows, never 0."""
        return self.items[self.wanted].astype(np.int64)

    @property
    def target_weights(self) -> Weights:
        """(num_targets,) how much each target counts, above 0."""
        return self.weights[self.wanted]

    @property
    def user_rows(self) -> Rows:
        """(num_events,) whose event each is."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


@dataclass(frozen=True)
class CountedEvents:
    """Every event of a known item before the holdout, for what is popular; unlike the sequences, with validation."""

    user_rows: npt.NDArray[np.int32]
    """(num_events,)."""
    items: ItemRows
    """(num_events,) item rows."""
    weights: Weights
    """(num_events,) signed."""
    times_us: Rows
    """(num_events,) ascending within each user."""

    def latest(self, until_us: int | None = None) -> Self:
        """Of each user and item the newest event before a moment: what a user bought ten times counts once."""
        past = np.ones(len(self.items), np.bool_) if until_us is None else self.times_us < until_us
        # Some users at a time, since sorting all would take more memory than anything else that is done with a log.
        num_turns = len(self.items) // SORTED_EVENTS + 1
        turns = self.user_rows % num_turns
        chosen = np.concatenate([self._latest(past & (turns == turn)) for turn in range(num_turns)])
        return type(self)(self.user_rows[chosen], self.items[chosen], self.weights[chosen], self.times_us[chosen])

    def _latest(self, which: npt.NDArray[np.bool_]) -> Rows:
        positions = np.flatnonzero(which)
        keys = self.user_rows[positions].astype(np.int64) << 32 | self.items[positions]
        order = np.argsort(keys, kind="stable")
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = np.diff(keys[order]) != 0
        return positions[order[is_last]]

    def by_item(self, num_items: int, shares: npt.NDArray[np.float64] | float = 1.0) -> Weights:
        """The weights of each item's events, summed, (num_items,); shares: how much of each counts, (num_events,)."""
        sums: Weights = np.bincount(self.items, self.weights * shares, minlength=num_items + 1)[1:].astype(np.float32)
        return sums


@dataclass(frozen=True)
class Dataset:
    vocabulary: Vocabulary
    content: ItemContent
    sequences: TrainingSequences
    counted: CountedEvents
    popularity: Weights
    """(num_items,) sum of the signed weights of each user's newest event of an item before the holdout; row r at r - 1.

    With weights of 1 and no negative events it is the number of its users. Below 0 for an item that more was said
    against than for: it then ranks behind those of which nothing is known.
    """
    validation: Moments
    """Says when to stop and what to choose; empty where a protocol has none."""
    holdout: Moments
    """Nothing of it is seen before the model is frozen."""
    histories: Histories
    with_validation: Callable[[], TrainingSequences] | None = None
    """Makes what there is to learn from once validation has said all it has to say; None where it never may be."""
    bounds_us: Mapping[str, int] = field(default_factory=dict)
    """Where the parts end, for the record."""

    @property
    def num_items(self) -> int:
        return len(self.vocabulary.item_ids)

    def fingerprint(self) -> str:
        """The same for the same things to learn from, hexadecimal: what a checkpoint belongs to."""
        digest = hashlib.blake2b(self.vocabulary.to_json().encode(), digest_size=16)
        digest.update("\n".join(self.content.names).encode())
        for part in (self.sequences, self.content, self.validation):
            arrays = (getattr(part, each.name) for each in fields(part))
            for array in (array for array in arrays if isinstance(array, np.ndarray)):
                digest.update(array.tobytes())
        return digest.hexdigest()
