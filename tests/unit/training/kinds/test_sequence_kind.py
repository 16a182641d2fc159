"""The sequence encoder passes the suite of all kinds."""

from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel
from tests.unit.training.kinds.model_suite import ModelSuite


class TestSequence(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return SequenceEncoder(options)
