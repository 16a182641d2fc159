"""Whatever the SDK raises ends a command with one sentence and an exit code."""

import pytest

from nightjar import BrokerUnreachable, BufferFull, DeliveryFailed, FlushTimedOut, InvalidField, RecommenderError
from services.cli.sdk_errors import as_domain_errors
from services.domain.errors import BrokerDown, InvalidRequest, ModelNotReady, NightjarError, NotRunning, UnknownItem


@pytest.mark.parametrize(
    ("raised", "expected", "sentence"),
    [
        (InvalidField("user_id", "is empty"), InvalidRequest, "user_id is empty"),
        (BrokerUnreachable("No broker."), BrokerDown, "No broker."),
        (BufferFull("Full."), BrokerDown, "Full."),
        (DeliveryFailed("Lost."), BrokerDown, "Lost."),
        (FlushTimedOut("Late."), BrokerDown, "Late."),
        (RecommenderError("UNAVAILABLE", "no model", reason="MODEL_NOT_READY"), ModelNotReady, "nightjar train"),
        (RecommenderError("UNAVAILABLE", "refused"), NotRunning, "did not answer: refused"),
        (RecommenderError("INTERNAL", "see log", reason="INTERNAL"), NotRunning, "see log"),
        (RecommenderError("NOT_FOUND", "no item 7", reason="UNKNOWN_ITEM"), UnknownItem, "no item 7"),
        (
            RecommenderError("INVALID_ARGUMENT", "k is 900", reason="INVALID_REQUEST", field="k"),
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
