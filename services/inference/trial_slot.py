"""The trial slot: the models that work beside the live one, each behind one reference, as the live one is (law 3)."""

from dataclasses import dataclass, field, replace

from services.domain.ids import UserId
from services.domain.ports import Clock
from services.domain.trials import ModelTrial, TrialKind
from services.inference.availability import AvailabilitySlot, Unavailable
from services.inference.live_bundle import BundleAddress
from services.inference.serving_model import ServingModel
from services.inference.trial_tally import TrialTally


@dataclass(frozen=True)
class TrialModel:
    """A trial and its model, loaded and warmed up. Whoever answers takes one reference and keeps it to the end."""

    trial: ModelTrial
    model: ServingModel
    digest: str
    """Of the bundle's manifest, as registered."""
    availability: AvailabilitySlot
    """For this model alone: one slot for two models would work all out anew at each change between them."""
    shared: AvailabilitySlot
    """The live model's, whose snapshot counts."""
    tally: TrialTally = field(default_factory=TrialTally)

    def includes(self, user_id: UserId) -> bool:
        return self.trial.includes(user_id)

    def prepare(self) -> None:
        """Works out what this model may not show, so that no request waits for it; blocks, in any thread."""
        snapshot = self.shared.snapshot
        if snapshot is not None:
            self.availability.replace(snapshot, None)
            self.availability.prepare(self.model)

    def unavailable(self) -> Unavailable:
        """What this model may not show now: by the same snapshot as the live one, whatever was prepared."""
        snapshot = self.shared.snapshot
        if snapshot is not None and self.availability.snapshot is not snapshot:
            self.availability.replace(snapshot, None)
        return self.availability.of(self.model)


class TrialSlot:
    """Holds at most one model of each kind. What it lets go of is freed by the last request on it."""

    def __init__(self, shared: AvailabilitySlot, clock: Clock) -> None:
        self._shared = shared
        self._clock = clock
        self._held: dict[TrialKind, TrialModel] = {}

    @property
    def canary(self) -> TrialModel | None:
        return self._held.get(TrialKind.CANARY)

    @property
    def shadow(self) -> TrialModel | None:
        return self._held.get(TrialKind.SHADOW)

    def of(self, kind: TrialKind) -> TrialModel | None:
        return self._held.get(kind)

    def all(self) -> list[TrialModel]:
        """Those that are held now; safe in any thread."""
        return list(self._held.copy().values())

    def loaded(self, bundle: BundleAddress) -> ServingModel | None:
        """The model of a bundle that is held here, so that a canary that goes live is not loaded again."""
        same = (each for each in self.all() if each.model.version == bundle.version and each.digest == bundle.digest)
        return next((each.model for each in same), None)

    def ready(self, trial: ModelTrial, model: ServingModel, digest: str) -> TrialModel:
        """What `hold` takes, prepared; blocks."""
        made = TrialModel(trial, model, digest, AvailabilitySlot(self._clock), self._shared)
        made.prepare()
        return made

    def hold(self, held: TrialModel) -> None:
        """Requests that begin from here on know it."""
        self._held[held.trial.kind] = held

    def change(self, trial: ModelTrial) -> None:
        """The trial that is held has another share; its model and what was counted stay."""
        self._held[trial.kind] = replace(self._held[trial.kind], trial=trial)

    def let_go(self, kind: TrialKind) -> None:
        self._held.pop(kind, None)
