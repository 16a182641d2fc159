from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.recommendations import Degraded, Source
from services.inference.rpc.replies import DEGRADED_REASONS, SOURCES


def test_every_reason_and_source_has_a_word_of_its_own_on_the_wire() -> None:
    """A value without one would fail the call that it was to save."""
    assert {wire.DegradedReason.Name(DEGRADED_REASONS[reason]) for reason in Degraded} == {
        f"DEGRADED_REASON_{reason.name if reason else 'UNSPECIFIED'}" for reason in Degraded
    }
    assert {wire.Source.Name(SOURCES[source]) for source in Source} == {f"SOURCE_{source.name}" for source in Source}
