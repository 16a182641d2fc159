import pytest

from services.domain.errors import InvalidRequest
from services.inference.rpc import validation

CHECKS = {
    "user_id": validation.user_id,
    "item_id": validation.item_id,
    "version": validation.version,
    "actor": validation.actor,
}


@pytest.mark.parametrize("field", CHECKS)
@pytest.mark.parametrize("value", ["", "a" * 257, "é" * 129, "a\nb", "\x7f"])
def test_a_bad_word_names_its_field(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        CHECKS[field](value)
    assert raised.value.field == field


@pytest.mark.parametrize("field", CHECKS)
@pytest.mark.parametrize("value", ["a", "a" * 256, "é" * 128, "with space", "日本"])
def test_a_good_word_stays_as_it_is(field: str, value: str) -> None:
    assert CHECKS[field](value) == value


@pytest.mark.parametrize(("given", "meant"), [(None, 10), (1, 1), (500, 500)])
def test_k_is_1_to_500_and_10_when_unset(given: int | None, meant: int) -> None:
    assert validation.k(given) == meant


@pytest.mark.parametrize(("given", "meant"), [(None, 50), (1, 1), (1_000, 1_000)])
def test_page_size_is_1_to_1000_and_50_when_unset(given: int | None, meant: int) -> None:
    assert validation.page_size(given) == meant


@pytest.mark.parametrize("given", [0, 501, 2**32 - 1])
def test_another_k_is_refused_by_name(given: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^k is .*1 to 500"):
        validation.k(given)


@pytest.mark.parametrize("given", [0, 1_001])
def test_another_page_size_is_refused_by_name(given: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^page_size is .*1 to 1000"):
        validation.page_size(given)
