"""What the SDK raises, apart from ValueError for a wrong argument."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightjar.publishing import PublishResult


class NightjarClientError(Exception):
    """The root of the SDK's errors; the message is one sentence that says what to do."""


class InvalidField(ValueError):
    """A field of an event, item or request breaks the contract; `field` names it in the contract's words."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class BrokerUnreachable(NightjarClientError):
    """No Kafka broker answered, or the topic does not exist."""


class BufferFull(NightjarClientError):
    """Events are sent faster than Kafka takes them, and the buffer had no room for longer than max_block_s."""


class DeliveryFailed(NightjarClientError):
    """Kafka did not take a record; nothing tells whether a retry by the caller would help, but it is always safe."""


class FlushTimedOut(NightjarClientError):
    """Some records had no report yet when the time was over."""


class CallFailed(NightjarClientError):
    """A call of a Nightjar server failed.

    code: gRPC's status code by name, such as "INVALID_ARGUMENT". reason: the server's stable word, such as
    "MODEL_NOT_READY"; empty when the server never answered. field: the request field at fault, empty when none is.
    detail: the server's own sentence, or gRPC's.
    """

    def __init__(self, code: str, detail: str, *, target: str, reason: str = "", field: str = "") -> None:
        super().__init__(f"{code} from {target}: {detail}")
        self.code = code
        self.detail = detail
        self.reason = reason
        self.field = field

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


class RecommenderError(CallFailed):
    """A call of the recommender failed."""


class EventsError(CallFailed):
    """The event service refused a call, and calling again does not help. Events sent before it may be stored."""


class EventsNotStored(NightjarClientError):
    """Some events were not stored in the time there was; send the same events again.

    results: what is known of each event, in the order in which they were given.
    """

    def __init__(self, message: str, results: "Sequence[PublishResult]") -> None:
        super().__init__(message)
        self.results = results
