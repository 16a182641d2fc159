"""The ports: what the use cases ask of the outside. One contract suite each, run on the fake and on the real one."""

from services.domain.ports.catalog import ItemCatalog, UserDirectory
from services.domain.ports.clock import Clock
from services.domain.ports.features import HistoryReader, HistoryWriter, ResultCache
from services.domain.ports.ingest import DeadLetters, EventColumns, EventLog, PartitionListener, RecordSource
from services.domain.ports.models import BundleStore, LiveModelNotice, LiveModelNotices, ModelRegistrar, ModelRegistry
from services.domain.ports.operations import LogHistory, RecordSender, ReplayMemory, StreamCluster, TopicReader

__all__ = [
    "BundleStore",
    "Clock",
    "DeadLetters",
    "EventColumns",
    "EventLog",
    "HistoryReader",
    "HistoryWriter",
    "ItemCatalog",
    "LiveModelNotice",
    "LiveModelNotices",
    "LogHistory",
    "ModelRegistrar",
    "ModelRegistry",
    "PartitionListener",
    "RecordSender",
    "RecordSource",
    "ReplayMemory",
    "ResultCache",
    "StreamCluster",
    "TopicReader",
    "UserDirectory",
]
