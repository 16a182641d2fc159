"""The SDK's errors as the system's own, so that every command ends with one sentence and the right exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

from nightjar.errors import InvalidField, NightjarClientError, RecommenderError
from services.domain.errors import BrokerDown, InvalidRequest, ModelNotReady, NotRunning, Reason, UnknownItem


@contextmanager
def as_domain_errors() -> Iterator[None]:
    """Raises InvalidRequest, ModelNotReady, UnknownItem, NotRunning or BrokerDown for what the SDK raises inside."""
    try:
        yield
    except InvalidField as error:
        raise InvalidRequest(error.field, error.problem) from error
    except RecommenderError as error:
        raise _of_a_call(error) from error
    except NightjarClientError as error:
        raise BrokerDown(str(error)) from error


def _of_a_call(error: RecommenderError) -> Exception:
    if error.reason == Reason.INVALID_REQUEST:
        return InvalidRequest(error.field, error.detail.removeprefix(f"{error.field} "))
    if error.reason == Reason.MODEL_NOT_READY:
        return ModelNotReady(error.detail)
    if error.reason == Reason.UNKNOWN_ITEM:
        return UnknownItem(error.detail)
    return NotRunning(f"The recommender did not answer ({error}); `nightjar status` and its log say more.")
