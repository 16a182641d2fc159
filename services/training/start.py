"""Where tonight's training starts: from nothing, or from an earlier model, learning what happened since."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog

from services.domain.bundles import VOCABULARY, read_manifest
from services.domain.errors import BundleBroken, UnfitToStartFrom
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.ports import BundleStore
from services.domain.users import Erasure
from services.domain.vocabulary import Vocabulary
from services.training.data.dataset import Dataset
from services.training.model import EarlierModel, TrainableModel, WarmStarting

log = structlog.get_logger(__name__)

Mode = Literal["full", "incremental", "auto"]
LOOKED_AT: Final = 10  # of the newest models. Larger: a start of long ago; smaller: several bad nights hide a good one
REPEATED: Final = "reproduce/"
"""What the origins of repetitions begin with, which no other training starts from: they are of the past."""
SIBLINGS: Final = 20  # challengers that a night may have, which must not be all that is looked at


@dataclass(frozen=True, slots=True)
class Start:
    """How a run began, for its manifest."""

    full_time: datetime
    """When the last training from nothing began, of which this one's parameters are the offspring."""
    wishes_digest: str
    """Of the wishes to be forgotten that it knew of, see `digest_of`."""
    started_from: ModelVersion | None = None

    @property
    def mode(self) -> Mode:
        return "full" if self.started_from is None else "incremental"

    def facts(self) -> dict[str, str | None]:
        return {
            "mode": self.mode,
            "full_time": self.full_time.isoformat(),
            "wishes_digest": self.wishes_digest,
            "started_from": self.started_from,
        }


@dataclass(frozen=True)
class Starting:
    """Chooses the start of a run.

    newest: the newest models, newest first. An earlier model is one to start from when it is of the same kind and was
    not refused, when it saw nothing that this run holds out (law 8), and when the training from nothing that it goes
    back to knew of every wish to be forgotten (law 7): what was learned of somebody is in its parameters.

    origin: of this run; what stands before its last slash is its night. Nothing starts from a challenger of the same
    night, which has learned all that there is: they would be copies of one another.
    """

    newest: Callable[[int], Sequence[Model]]
    bundles: BundleStore
    mode: Mode
    full_every: timedelta
    origin: str = ""
    repeats: bool = False
    """Whether `newest` gives what an earlier run started from, whatever that was."""

    def begin(self, model: TrainableModel, dataset: Dataset, wishes: Sequence[Erasure], now: datetime) -> Start:
        """Makes the model start from an earlier one if it should; raises UnfitToStartFrom when it must and cannot.

        wishes: all that `dataset` was made without. now: before they were read.
        """
        from_nothing = Start(now, digest_of(wishes))
        if self.mode == "full" or not isinstance(model, WarmStarting):
            return from_nothing
        why = "there is no earlier model of this kind"
        for earlier in self._of_other_nights():
            if earlier.kind != model.kind or (earlier.verdict is not None and not earlier.verdict.passed):
                continue
            try:
                return self._from(earlier, model, dataset, wishes, now)
            except (UnfitToStartFrom, BundleBroken) as error:
                why = str(error)
        if self.mode == "incremental":
            raise UnfitToStartFrom(f"This training cannot start from an earlier model: {why}")
        log.info("training_in_full", why=why)
        return from_nothing

    def _of_other_nights(self) -> Sequence[Model]:
        night, slash, _ = self.origin.rpartition("/")
        models = self.newest(LOOKED_AT + SIBLINGS)
        if not self.repeats:
            models = [each for each in models if not each.origin.startswith(REPEATED)]
        return [each for each in models if not slash or each.origin.rpartition("/")[:2] != (night, slash)][:LOOKED_AT]

    def _from(
        self, earlier: Model, model: WarmStarting, dataset: Dataset, wishes: Sequence[Erasure], now: datetime
    ) -> Start:
        folder = self.bundles.fetch(earlier.location)
        told = read_manifest(folder).configuration
        try:
            full_time = datetime.fromisoformat(str(told["full_time"]))
            digest, cut_us = str(told["wishes_digest"]), int(told["cut_us"])
        except (KeyError, ValueError) as error:
            raise UnfitToStartFrom(f"{earlier.version} does not say what it was trained on.") from error
        if self.mode == "auto" and now - full_time >= self.full_every:
            raise UnfitToStartFrom(f"the last training from nothing was on {full_time:%Y-%m-%d}; it is time for one.")
        if cut_us > dataset.bounds_us.get("cut_us", cut_us):
            raise UnfitToStartFrom(f"{earlier.version} has seen some of what this run holds out.")
        if digest != digest_of(wishes):
            raise UnfitToStartFrom(f"somebody has asked to be forgotten since {full_time:%Y-%m-%d %H:%M}.")
        vocabulary = Vocabulary.from_json((folder / VOCABULARY).read_text(encoding="utf-8"))
        model.start_from(EarlierModel(folder, vocabulary, cut_us))
        log.info("training_started_from", version=earlier.version, full_time=full_time.isoformat())
        return Start(full_time, digest, earlier.version)


def digest_of(wishes: Iterable[Erasure]) -> str:
    """SHA-256 of these wishes, in whatever order. By when they were asked nothing can be told: some come late."""
    lines = sorted(json.dumps([wish.user_id, wish.request_time_us]) for wish in wishes)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
