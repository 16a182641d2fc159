import inspect

from hypothesis import given
from hypothesis import strategies as st

from services.domain.ids import ModelVersion, UserId
from services.inference.cache_key import cache_key

# Few letters and digits, so that fields that differ can run together to the same text.
words = st.text(alphabet="1:a\0é", max_size=4)
requests = st.tuples(words, words, words, st.integers(1, 500), words, words, words)


def key_of(request: tuple[str, str, str, int, str, str, str]) -> bytes:
    version, method, user_id, k, visitor, catalog_version, exclusions = request
    return cache_key(
        model_version=ModelVersion(version),
        method=method,
        user_id=UserId(user_id),
        k=k,
        visitor=visitor,
        catalog_version=catalog_version,
        exclusions=exclusions,
    )


@given(requests, requests)
def test_two_requests_share_a_key_only_when_they_are_the_same(
    one: tuple[str, str, str, int, str, str, str], other: tuple[str, str, str, int, str, str, str]
) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


def test_fields_that_run_together_to_the_same_text_have_different_keys() -> None:
    assert key_of(("v1", "R", "ab", 1, "c", "d", "")) != key_of(("v1", "R", "a", 1, "bc", "d", ""))
    assert key_of(("v1", "R", "a", 1, "bc", "d", "")) != key_of(("v1", "R", "a", 1, "b", "cd", ""))


def test_a_request_id_is_no_part_of_a_key() -> None:
    assert "request_id" not in inspect.signature(cache_key).parameters
