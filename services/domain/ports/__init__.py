"""The ports: what the use cases ask of the outside. One contract suite each, run on the fake and on the real one."""

from services.domain.ports.catalog import (
    AvailabilitySource,
    ErasureSource,
    FactsSource,
    ItemCatalog,
    ItemSource,
    UserDirectory,
)
from services.domain.ports.clock import Clock
from services.domain.ports.features import (
    CounterRebuilder,
    CounterWriter,
    HistoryReader,
    HistoryWriter,
    ItemCounters,
    ResultCache,
    UserForgetter,
    UserLister,
)
from services.domain.ports.fleet import Fleet
from services.domain.ports.ingest import (
    DeadLetters,
    EventLog,
    EventsByOffset,
    PartitionListener,
    RecordSource,
)
from services.domain.ports.models import BundleStore, ModelRegistrar, ModelRegistry
from services.domain.ports.notices import Notice, Notices
from services.domain.ports.operations import LogHistory, RecordSender, ReplayMemory, StreamCluster, TopicReader
from services.domain.ports.training import TextEncoder, TrainingRuns
from services.domain.ports.trials import Trials
from services.domain.ports.tuning import TuningTrials

__all__ = [
    "AvailabilitySource",
    "BundleStore",
    "Clock",
    "CounterRebuilder",
    "CounterWriter",
    "DeadLetters",
    "ErasureSource",
    "EventLog",
    "EventsByOffset",
    "FactsSource",
    "Fleet",
    "HistoryReader",
    "HistoryWriter",
    "ItemCatalog",
    "ItemCounters",
    "ItemSource",
    "LogHistory",
    "ModelRegistrar",
    "ModelRegistry",
    "Notice",
    "Notices",
    "PartitionListener",
    "RecordSender",
    "RecordSource",
    "ReplayMemory",
    "ResultCache",
    "StreamCluster",
    "TextEncoder",
    "TopicReader",
    "TrainingRuns",
    "Trials",
    "TuningTrials",
    "UserDirectory",
    "UserForgetter",
    "UserLister",
]
