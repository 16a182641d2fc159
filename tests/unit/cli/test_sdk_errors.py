"""Whatever the SDK raises ends a command with one sentence and an exit code."""

import pytest

from nightjar import BrokerUnreachable, BufferFull, DeliveryFailed, FlushTimedOut, InvalidField, RecommenderError
from services.cli.sdk_errors import as_domain_errors
from services.domain.errors import BrokerDown, InvalidRequest, ModelNotReady, NightjarError, NotRunning, UnknownItem


def failed_call(code: str, detail: str, reason: str = "", field: str = "") -> RecommenderError:
    return RecommenderError(code, detail, target="host:1", reason=reason, field=field)


@pytest.mark.parametrize(
    ("raised", "expected", "sentence"),
    [
        (InvalidField("user_id", "is empty"), InvalidRequest, "user_id is empty"),
        (BrokerUnreachable("No broker."), BrokerDown, "No broker."),
        (BufferFull("Full."), BrokerDown, "Full."),
        (DeliveryFailed("Lost."), BrokerDown, "Lost."),
        (FlushTimedOut("Late."), BrokerDown, "Late."),
        (failed_call("UNAVAILABLE", "no model", "MODEL_NOT_READY"), ModelNotReady, "^no model$"),
        (failed_call("UNAVAILABLE", "refused"), NotRunning, "did not answer .UNAVAILABLE from host:1: refused."),
        (failed_call("INTERNAL", "see log", "INTERNAL"), NotRunning, "see log"),
        (failed_call("NOT_FOUND", "no item 7", "UNKNOWN_ITEM"), UnknownItem, "^no item 7$"),
        (
            failed_call("INVALID_ARGUMENT", "k is 900", "INVALID_REQUEST", "k"),
            InvalidRequest,
            "^k is 900$",
        ),
    ],
)
def test_an_sdk_error_becomes_one_of_the_systems(
    raised: Exception, expected: type[NightjarError], sentence: str
) -> None:
    with pytest.raises(expected, match=sentence), as_domain_errors():
        raise raised
