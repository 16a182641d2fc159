"""The model that the settings name; knows no adapter, so fitting from a file loads neither log nor database."""

from services.domain.errors import InvalidSettings
from services.settings import TrainSettings
from services.training.kinds import factory
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel


def configured_model(train: TrainSettings) -> TrainableModel:
    """The kind that the settings name, not fitted yet; raises InvalidSettings for options of another kind."""
    if train.kind != SequenceEncoder.kind:
        seeded = {"seed": train.seed} if train.kind in factory.SEEDED else {}
        return factory.make_model(train.kind, **{**seeded, **train.options})
    if train.options:
        raise InvalidSettings(f"train.options are of other kinds; {train.kind} has settings of their own names.")
    return SequenceEncoder(EncoderOptions(**{name: getattr(train, name) for name in EncoderOptions.__slots__}))
