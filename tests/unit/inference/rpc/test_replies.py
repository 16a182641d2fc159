"""Answers in the words of the wire, whether they are made or were made before."""

import gc
from typing import Any

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.ids import ItemId, ModelVersion
from services.domain.recommendations import Degraded, LeftOut, NotRanked, Recommendation, ScoredItem, Source
from services.inference.rpc.replies import DEGRADED_REASONS, SOURCES, Replies, recommend_response


def test_every_reason_and_source_has_a_word_of_its_own_on_the_wire() -> None:
    """A value without one would fail the call that it was to save."""
    assert {wire.DegradedReason.Name(DEGRADED_REASONS[reason]) for reason in Degraded} == {
        f"DEGRADED_REASON_{reason.name if reason else 'UNSPECIFIED'}" for reason in Degraded
    }
    assert {wire.Source.Name(SOURCES[source]) for source in Source} == {f"SOURCE_{source.name}" for source in Source}


def answer(**fields: Any) -> Recommendation:
    items = (ScoredItem(ItemId("item-1"), 0.5), ScoredItem(ItemId("item-2"), 0.25))
    return Recommendation(items, ModelVersion("v1"), "00ff", "", Source.MODEL, **fields)


def test_what_was_said_before_is_said_again_under_an_id_of_its_own() -> None:
    replies, kept = Replies(), answer(cache_hit=True)
    said = [read(replies.recommend_response(kept)) for _ in range(3)]
    assert len({reply.request_id for reply in said}) == 3
    for reply in said:
        assert len(reply.request_id) == 32
        reply.request_id = ""
    expected = recommend_response(kept)
    expected.request_id = ""
    assert said == [expected] * 3


def test_the_bytes_of_an_answer_go_with_it() -> None:
    """Law 7: nothing of it outlives the memory that keeps it; nor is another answer taken for it."""
    replies = Replies()
    for number in range(100):
        made = answer(cache_hit=True, left_out=(LeftOut(ItemId(f"item-{number}"), NotRanked.UNAVAILABLE),))
        assert read(replies.recommend_response(made)).left_out[0].item_id == f"item-{number}"
        del made
        gc.collect()
        assert replies.num_kept == 0


def read(reply: wire.RecommendResponse | bytes) -> wire.RecommendResponse:
    return wire.RecommendResponse.FromString(reply) if isinstance(reply, bytes) else reply
