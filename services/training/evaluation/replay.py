"""The nightly replay: the last days of a data set, lived through again as serving would have.

At each midnight, UTC, a model learns from what happened before it, and the users of the day are asked about once, as of
that midnight: what did they choose that was new to them? Three answer:
- tonight's model;
- the model of the first midnight, frozen: its parameters and its items stand still, the histories it is given do not;
- what was popular in the seven days before.

All are asked the same: what tonight's model knows, by users with a history. An item that came after the freeze counts
as a miss for the frozen model, since that it cannot show it is part of what retraining gains. Figures are means over
questions, a user on a day; intervals draw users with all their days.

Where nights start from the night before, a fourth may answer: a model of the same night that started from nothing. It
says what the shorter training costs in quality, and saves in seconds.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import EventColumns
from services.domain.ids import ItemId
from services.features.history import Histories
from services.training.data.dataset import Dataset, Moments, Weights
from services.training.evaluation.metrics import Judged
from services.training.evaluation.protocol_figures import OnEpoch
from services.training.evaluation.protocols import DAY_S, EVENT_TYPES, at_time, events_before
from services.training.evaluation.ranking import NOTHING, Ranked, rank_targets
from services.training.kinds.popularity import DAY_US, most_telling
from services.training.model import EarlierModel, Floats, History, TrainableModel, WarmStarting

VALIDATION_DAYS: Final = 3  # larger: the parameters miss what is new; smaller: a quiet weekend says when to stop
POPULAR_DAYS: Final = 7
TOP: Final = 10


@dataclass(frozen=True)
class Answered:
    """One day's questions and the three answers to each."""

    date: str
    """Such as 2026-01-31."""
    nightly: Judged
    frozen: Judged
    popular: Judged
    shown: frozenset[ItemId]
    """In somebody's first ten of tonight's model."""
    num_items: int
    """That tonight's model knows."""
    fit_seconds: float
    full: Judged | None = None
    """Of a model of this night that started from nothing, where there is one."""
    full_fit_seconds: float = 0.0


@dataclass(frozen=True)
class Replay:
    make_model: Callable[[], TrainableModel]
    max_history: int
    on_epoch: OnEpoch
    on_day: Callable[[int, Answered | None], None]
    """Is told of each day, from 1; None: nobody chose anything new to them, so nothing is measured."""
    full_every_days: float = 0.0
    """After so many days a night's model comes from nothing; on the others it starts from last night's, where its kind
    can. 0: from nothing each night."""
    beside_full: bool = False
    """Each night a model that starts from nothing is fitted and asked as well."""

    def run(self, data: EvaluationData, num_days: int) -> Sequence[Answered]:
        """The days on which somebody was asked; raises NotEnoughData, also when there are none, and TrainingFailed."""
        if not data.has_times:
            raise NotEnoughData("A replay goes by days, but the timestamps of this data are places in a history.")
        last_day = int(data.times_s.max()) // DAY_S
        frozen: _Frozen | None = None
        last_night: _Night | None = None
        answered = []
        for number, day in enumerate(range(last_day - num_days + 1, last_day + 1), start=1):
            begin_s, end_s = day * DAY_S, (day + 1) * DAY_S
            validates = self.make_model().capabilities.validates
            dataset = at_time(data, begin_s, end_s, validation_days=VALIDATION_DAYS, validates=validates).dataset
            found = None
            if frozen is None or len(dataset.holdout):
                last_night = self._fitted(day, dataset, last_night)
                frozen = frozen or _Frozen(last_night.model, dataset, most_telling(dataset), self.max_history)
                found = self._answered(begin_s, last_night, frozen, events_before(data, end_s))
                if found is not None and self.beside_full:
                    found = self._with_full(found, last_night)
            self.on_day(number, found)
            answered += [] if found is None else [found]
        if not answered:
            raise NotEnoughData(f"In the last {num_days} days nobody known chose anything new; replay more days.")
        return answered

    def _fitted(self, day: int, dataset: Dataset, last_night: "_Night | None") -> "_Night":
        started, model, full_day = time.monotonic(), self.make_model(), day
        with tempfile.TemporaryDirectory(prefix="nightjar-replay-") as folder:
            if last_night and isinstance(model, WarmStarting) and day - last_night.full_day < self.full_every_days:
                full_day, earlier = last_night.full_day, last_night.dataset
                last_night.model.save(Path(folder))
                model.start_from(EarlierModel(Path(folder), earlier.vocabulary, earlier.bounds_us["cut_us"]))
            model.fit(dataset, self.on_epoch)
        return _Night(day, model, dataset, full_day, time.monotonic() - started)

    def _with_full(self, found: Answered, night: "_Night") -> Answered:
        """What a model from nothing says to the same questions; tonight's model itself where it is one."""
        full = night if night.full_day == night.day else self._fitted(night.day, night.dataset, None)
        return replace(found, full=self._ranked(full).by_question, full_fit_seconds=full.fit_seconds)

    def _ranked(self, night: "_Night") -> Ranked:
        dataset, everybody = night.dataset, most_telling(night.dataset)
        return rank_targets(night.model.score, dataset.holdout, dataset.histories, everybody, self.max_history)

    def _answered(self, begin_s: int, night: "_Night", frozen: "_Frozen", events: EventColumns) -> Answered | None:
        nightly, dataset = self._ranked(night), night.dataset
        if not len(nightly):
            return None
        asked, histories = _asked(nightly), dataset.histories
        recent = popular_within(dataset, POPULAR_DAYS, begin_s * 1_000_000)
        popular = rank_targets(lambda of: _for_all(recent, of), asked, histories, recent, self.max_history)
        shown = nightly.lists[:, :TOP]
        return Answered(
            date=f"{datetime.fromtimestamp(begin_s, UTC):%Y-%m-%d}",
            nightly=nightly.by_question,
            frozen=frozen.ranked(asked, dataset, events).by_question,
            popular=popular.by_question,
            shown=frozenset(
                dataset.vocabulary.item_ids[index] for index in np.unique(shown[shown != NOTHING]).tolist()
            ),
            num_items=dataset.num_items,
            fit_seconds=night.fit_seconds,
        )


@dataclass(frozen=True)
class _Night:
    day: int
    """Since the epoch."""
    model: TrainableModel
    dataset: Dataset
    full_day: int
    """When it last came from nothing."""
    fit_seconds: float


@dataclass(frozen=True)
class _Frozen:
    model: TrainableModel
    dataset: Dataset
    popularity: Weights
    max_history: int

    def ranked(self, asked: Moments, today: Dataset, events: EventColumns) -> Ranked:
        """Asked for today's targets by its own rows, 0 for an item it never saw; events: all until the day's end."""
        own = self.dataset.vocabulary
        rows = np.array([0, *(own.item_rows.get(item_id, 0) for item_id in today.vocabulary.item_ids)], np.int64)
        histories = Histories(events, own, EVENT_TYPES)
        moments = replace(asked, targets=rows[asked.targets])
        return rank_targets(self.model.score, moments, histories, self.popularity, self.max_history)


def popular_within(dataset: Dataset, days: float, until_us: int) -> Weights:
    """How many users took to each item in a window, (num_items,); of equals, those that more took to ever go first."""
    latest = dataset.counted.latest(until_us)
    ever = latest.by_item(dataset.num_items)
    is_recent = until_us - latest.times_us <= days * DAY_US
    recent = latest.by_item(dataset.num_items, is_recent.astype(np.float64))
    scores: Weights = (recent + ever / (np.abs(ever).sum() + 1.0)).astype(np.float32)
    return scores


def _asked(ranked: Ranked) -> Moments:
    """What was not skipped."""
    of = ranked.questions
    return Moments(ranked.question_users[of], ranked.question_times_us[of], ranked.targets, ranked.event_types)


def _for_all(scores: Floats, histories: Sequence[History]) -> Floats:
    return np.broadcast_to(scores, (len(histories), len(scores)))
