"""Every error the system raises on purpose. They know nothing of gRPC or exit codes; the edges map them."""

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Stable words for machines; never renamed."""

    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_SETTINGS = "INVALID_SETTINGS"
    MISSING_DEPENDENCY = "MISSING_DEPENDENCY"
    PORT_IN_USE = "PORT_IN_USE"
    START_FAILED = "START_FAILED"
    NOT_RUNNING = "NOT_RUNNING"
    MODEL_NOT_READY = "MODEL_NOT_READY"
    UNKNOWN_ITEM = "UNKNOWN_ITEM"
    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    PAGE_EXPIRED = "PAGE_EXPIRED"
    UNKNOWN_NIGHT = "UNKNOWN_NIGHT"
    NIGHT_NOT_RESUMABLE = "NIGHT_NOT_RESUMABLE"
    NOTHING_TO_ROLL_BACK = "NOTHING_TO_ROLL_BACK"
    GATE_NOT_PASSED = "GATE_NOT_PASSED"
    WORKERS_NOT_READY = "WORKERS_NOT_READY"
    SWAP_UNDER_WAY = "SWAP_UNDER_WAY"
    TRIAL_UNDER_WAY = "TRIAL_UNDER_WAY"
    BUNDLE_BROKEN = "BUNDLE_BROKEN"
    BUNDLE_DELETED = "BUNDLE_DELETED"
    BUNDLE_STORE_DOWN = "BUNDLE_STORE_DOWN"
    FEATURE_STORE_DOWN = "FEATURE_STORE_DOWN"
    CATALOG_DOWN = "CATALOG_DOWN"
    BROKER_DOWN = "BROKER_DOWN"
    OVERLOADED = "OVERLOADED"
    OUT_OF_TIME = "OUT_OF_TIME"
    STREAM_IDLE = "STREAM_IDLE"
    EVENT_LOG_CONFLICT = "EVENT_LOG_CONFLICT"
    EVENT_LOG_MOVED = "EVENT_LOG_MOVED"
    EVENT_LOG_DOWN = "EVENT_LOG_DOWN"
    OFFSETS_WENT_BACK = "OFFSETS_WENT_BACK"
    TOO_MANY_DEAD_LETTERS = "TOO_MANY_DEAD_LETTERS"
    NOT_ENOUGH_DATA = "NOT_ENOUGH_DATA"
    BAD_DATA = "BAD_DATA"
    UNFIT_TO_START_FROM = "UNFIT_TO_START_FROM"
    TRAINING_FAILED = "TRAINING_FAILED"
    DATASET_UNAVAILABLE = "DATASET_UNAVAILABLE"
    REBUILD_CONFLICT = "REBUILD_CONFLICT"
    REPLAY_REFUSED = "REPLAY_REFUSED"


class NightjarError(Exception):
    """The root; its message is one sentence that says what to do."""

    reason: ClassVar[Reason]
    retryable: ClassVar[bool] = False


class InvalidRequest(NightjarError):
    """A field of a request is wrong; `field` names it in the contract's words."""

    reason = Reason.INVALID_REQUEST

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type["InvalidRequest"], tuple[str, str]]:
        return type(self), (self.field, self.problem)  # else it could not be told to another process


class InvalidSettings(NightjarError):
    reason = Reason.INVALID_SETTINGS


class MissingDependency(NightjarError):
    """Something this machine lacks; the message says how to get it."""

    reason = Reason.MISSING_DEPENDENCY


class PortInUse(NightjarError):
    reason = Reason.PORT_IN_USE


class StartFailed(NightjarError):
    reason = Reason.START_FAILED


class NotRunning(NightjarError):
    """A stack or service that a command needs is not there."""

    reason = Reason.NOT_RUNNING


class ModelNotReady(NightjarError):
    reason = Reason.MODEL_NOT_READY
    retryable = True


class UnknownItem(NightjarError):
    reason = Reason.UNKNOWN_ITEM


class PageExpired(NightjarError):
    """A page of a list that would be another one by now: the first page must be asked for again."""

    reason = Reason.PAGE_EXPIRED


class UnknownVersion(NightjarError):
    reason = Reason.UNKNOWN_VERSION


class UnknownNight(NightjarError):
    reason = Reason.UNKNOWN_NIGHT


class NightNotResumable(NightjarError):
    """A night that goes on, ended well, ended as it should, or is not the newest."""

    reason = Reason.NIGHT_NOT_RESUMABLE


class NothingToRollBack(NightjarError):
    reason = Reason.NOTHING_TO_ROLL_BACK


class GateNotPassed(NightjarError):
    """Promotion of a version without a passing verdict, and without an override reason."""

    reason = Reason.GATE_NOT_PASSED


class WorkersNotReady(NightjarError):
    """Too few serving workers could get a version ready; nothing changed. The message says which said what."""

    reason = Reason.WORKERS_NOT_READY


class SwapUnderWay(NightjarError):
    """Another version is being prepared, or a rollback took the place of this preparation; nothing changed."""

    reason = Reason.SWAP_UNDER_WAY


class TrialUnderWay(NightjarError):
    """Another version is the canary, or the shadow; nothing changed."""

    reason = Reason.TRIAL_UNDER_WAY


class BundleBroken(NightjarError):
    """A bundle whose files do not match its manifest, or that lacks one, or that nobody trusted has signed."""

    reason = Reason.BUNDLE_BROKEN


class BundleDeleted(NightjarError):
    """A version whose bundle clean-up deleted: the registry still knows it, and it can never serve again."""

    reason = Reason.BUNDLE_DELETED


class BundleStoreDown(NightjarError):
    """The object storage of bundles cannot be asked; the message says what to check. What serves goes on serving."""

    reason = Reason.BUNDLE_STORE_DOWN
    retryable = True


class FeatureStoreDown(NightjarError):
    reason = Reason.FEATURE_STORE_DOWN
    retryable = True


class CatalogDown(NightjarError):
    reason = Reason.CATALOG_DOWN
    retryable = True


class BrokerDown(NightjarError):
    reason = Reason.BROKER_DOWN
    retryable = True


class Overloaded(NightjarError):
    """More is under way than a bounded buffer holds; nothing of the request was done, and it may be sent again."""

    reason = Reason.OVERLOADED
    retryable = True


class OutOfTime(NightjarError):
    """The caller's deadline passed before there was an answer; what was left to do was dropped."""

    reason = Reason.OUT_OF_TIME


class StreamIdle(NightjarError):
    """A caller keeps a stream open and sends nothing, while others wait for its place."""

    reason = Reason.STREAM_IDLE


class EventLogConflict(NightjarError):
    """Another writer committed these partitions: this one is a zombie and must stop."""

    reason = Reason.EVENT_LOG_CONFLICT


class EventLogMoved(NightjarError):
    """Others stored events since this batch was held against the log's ids: it must be judged again."""

    reason = Reason.EVENT_LOG_MOVED
    retryable = True


class EventLogDown(NightjarError):
    """The offline log cannot be read or written, such as on a full disk; nothing is lost, Kafka keeps the events."""

    reason = Reason.EVENT_LOG_DOWN
    retryable = True


class OffsetsWentBack(NightjarError):
    """A topic gives offsets again that the log already holds: it is not the topic it was."""

    reason = Reason.OFFSETS_WENT_BACK


class TooManyDeadLetters(NightjarError):
    """So many bad records in a row that the producer, not the records, is broken."""

    reason = Reason.TOO_MANY_DEAD_LETTERS


class NotEnoughData(NightjarError):
    reason = Reason.NOT_ENOUGH_DATA


class BadData(NightjarError):
    """What is to be learned from or measured on cannot be read as that."""

    reason = Reason.BAD_DATA


class UnfitToStartFrom(NightjarError):
    """An earlier model that this one cannot learn on from; the full training can do without."""

    reason = Reason.UNFIT_TO_START_FROM


class TrainingFailed(NightjarError):
    reason = Reason.TRAINING_FAILED


class DatasetUnavailable(NightjarError):
    reason = Reason.DATASET_UNAVAILABLE


class ReplayRefused(NightjarError):
    """A dead record that must not be sent again: it was already, it would die again, or nobody knows what it was."""

    reason = Reason.REPLAY_REFUSED


class RebuildConflict(NightjarError):
    """Another rebuild of the online features runs at the same time and has taken over the copies this one makes."""

    reason = Reason.REBUILD_CONFLICT
