"""Pages of a list neither repeat nor skip, and one of another list is refused."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.errors import BundleBroken, InvalidRequest, PageExpired
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, UserId
from services.domain.items import Facts
from services.domain.pages import MAX_DEPTH, Page
from services.domain.recommendations import Degraded, Query, Recommendation, Seen
from services.domain.wishes import Boost, Filter, MustInclude, Quota, Wishes
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.patience import Patience
from services.inference.scorers import Scorer, VectorScorer
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import KINDS
from tests.fakes.wished_shop import ANN, CATEGORIES, WishedShop, ids, item_id

PAGED = Wishes(is_paged=True)
WISHES = st.builds(
    Wishes,
    filter=st.sampled_from([Filter(), Filter(no_categories=frozenset({"eggs"}))]),
    boosts=st.sampled_from([(), (Boost(3.0, category="art"),)]),
    must_include=st.sampled_from(
        [(), (MustInclude(item_id(40)), MustInclude(item_id(41), 9), MustInclude(item_id(3)))]
    ),
    quotas=st.sampled_from([(), (Quota(6),), (Quota(0, "dogs"), Quota(4, "art"))]),
    diversity=st.sampled_from([0.0, 0.4]),
    context=st.sampled_from([(), (item_id(20), item_id(21))]),
    is_paged=st.just(True),
)


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> WishedShop:
    return WishedShop(tmp_path / "v1", request.param)


@pytest.fixture
def plain_shop(tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    return shop


async def page_after(shop: WishedShop, query: Query, answer: Recommendation, k: int) -> Recommendation:
    """By the token that the caller holds, not by what the answer says inside."""
    assert answer.next_page is not None
    return await shop.ask(replace(query, k=k, page=Page.of(answer.next_page.token)))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=WISHES,
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=12),
    user=st.sampled_from(["ann", "nobody"]),
)
def test_pages_of_any_lengths_are_the_list(shop: WishedShop, wishes: Wishes, lengths: list[int], user: str) -> None:
    shop.histories.histories[ANN] = history_of("item-1", "item-5", consumed=("item-5",))
    query = Query(UserId(user), 500, wishes=wishes)

    async def check() -> None:
        whole = await shop.ask(query)
        assert whole.next_page is None
        answer = await shop.ask(replace(query, k=lengths[0]))
        found = ids(answer)
        for k in [*lengths[1:], *[9] * 60]:
            if answer.next_page is None:
                break
            answer = await page_after(shop, query, answer, k)
            found += ids(answer)
        assert found == ids(whole)
        assert len(set(found)) == len(found)

    asyncio.run(check())


async def test_pages_end_at_the_deepest(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1", num_items=MAX_DEPTH + 100)
    answer, found = await shop.ask(Query(ANN, 400, wishes=PAGED)), list[ItemId]()
    while True:
        found += ids(answer)
        if answer.next_page is None:
            break
        answer = await page_after(shop, Query(ANN, wishes=PAGED), answer, 400)
    assert len(found) == len(set(found)) == MAX_DEPTH


async def test_nobody_who_did_not_ask_for_pages_gets_a_token(plain_shop: WishedShop) -> None:
    assert (await plain_shop.ask(Query(ANN, 5))).next_page is None
    assert (await plain_shop.ask(Query(ANN, 5, wishes=Wishes(diversity=0.1)))).next_page is None


async def test_a_page_is_cached_under_a_key_of_its_own(plain_shop: WishedShop) -> None:
    query = Query(ANN, 5, wishes=PAGED)
    first = await plain_shop.ask(query)
    second = await page_after(plain_shop, query, first, 5)
    again = await page_after(plain_shop, query, first, 5)
    assert (first.cache_hit, second.cache_hit, again.cache_hit) == (False, False, True)
    assert (again.items, again.next_page) == (second.items, second.next_page)


async def test_a_page_of_another_history_catalog_or_model_is_refused(plain_shop: WishedShop, tmp_path: Path) -> None:
    query = Query(ANN, 5, wishes=replace(PAGED, filter=Filter(any_categories=frozenset(CATEGORIES))))
    first = await plain_shop.ask(query)
    await page_after(plain_shop, query, first, 5)

    async def is_refused() -> None:
        with pytest.raises(PageExpired, match="ask for the first page again"):
            await page_after(plain_shop, query, first, 5)

    history, known = plain_shop.histories.histories[ANN], plain_shop.known
    plain_shop.histories.histories[ANN] = history_of("item-1", version="later")
    await is_refused()
    plain_shop.histories.histories[ANN] = history
    plain_shop.hide([50])
    await is_refused()
    plain_shop.hide((3, 17, 44))
    plain_shop.tell(known | {item_id(7): Facts()})
    await is_refused()
    plain_shop.tell(known)
    await page_after(plain_shop, query, first, 5)
    manifest = replace(plain_shop.model.manifest, model_version="v2")  # type: ignore[arg-type]
    plain_shop.model = replace(plain_shop.model, manifest=manifest)
    await is_refused()


@pytest.mark.parametrize(
    "other",
    [
        Query(UserId("bob"), wishes=PAGED),
        Query(ANN, wishes=replace(PAGED, diversity=0.5)),
        Query(ANN, wishes=replace(PAGED, filter=Filter(any_categories=frozenset({"art"})))),
    ],
    ids=["user", "diversity", "filter"],
)
async def test_a_page_of_another_request_is_a_mistake(plain_shop: WishedShop, other: Query) -> None:
    first = await plain_shop.ask(Query(ANN, 5, wishes=PAGED))
    with pytest.raises(InvalidRequest) as raised:
        await page_after(plain_shop, other, first, 5)
    assert raised.value.field == "page_token"


async def test_other_exclusions_are_another_list(plain_shop: WishedShop) -> None:
    first = await plain_shop.ask(Query(ANN, 5, wishes=PAGED))
    with pytest.raises(PageExpired):
        await page_after(plain_shop, Query(ANN, wishes=PAGED, excluded=frozenset({item_id(9)})), first, 5)


async def test_what_was_shown_of_the_first_page_does_not_move_the_second(plain_shop: WishedShop) -> None:
    """An impression of a page's items would leave them out, and so as many of the next page would be skipped."""
    query = Query(ANN, 5, seen=Seen.EXCLUDE_SHOWN, wishes=PAGED, page=Page(first_asked_us=1_000))
    plain_shop.histories.shown[ANN] = {item_id(30): 500}
    whole = ids(await plain_shop.ask(replace(query, k=20)))
    first = await plain_shop.ask(query)
    plain_shop.histories.shown[ANN] = {item_id(30): 500} | dict.fromkeys(ids(first), 2_000)
    second = await page_after(plain_shop, query, first, 5)
    assert ids(first) + ids(second) == whole[:10]
    assert item_id(30) not in whole
    plain_shop.histories.shown[ANN] = {item_id(30): 2_000}
    with pytest.raises(PageExpired):
        await page_after(plain_shop, query, first, 5)


TOKEN = Page(20, 5, b"12345678", b"abcdefgh").token


def test_a_token_comes_back_as_it_was() -> None:
    assert Page.of(TOKEN) == Page(20, 5, b"12345678", b"abcdefgh")


@settings(max_examples=300)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_what_is_no_token_is_a_mistake(text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Page.of(text)
    assert raised.value.field == "page_token"


@given(st.integers(0, 8 * 31 - 1))
def test_a_token_with_any_bit_flipped_is_no_token(bit: int) -> None:
    raw = bytearray(urlsafe_b64decode(TOKEN + "=="))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidRequest):
        Page.of(urlsafe_b64encode(bytes(raw)).decode().rstrip("="))


def test_a_token_of_another_version_of_the_service_is_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """While servers are replaced, so it is no mistake of the caller's."""
    monkeypatch.setattr("services.domain.pages.FORMAT", 2)
    newer = Page(20, 5, b"12345678", b"abcdefgh").token
    monkeypatch.undo()
    with pytest.raises(PageExpired):
        Page.of(newer)


class Fails(VectorScorer):
    """Knows everybody, and no answer."""

    def __init__(self, scorer: Scorer) -> None:
        self._whole = scorer

    def knows(self, history: HistoryRows) -> bool:
        return self._whole.knows(history)

    def best(self, history: HistoryRows, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        raise BundleBroken("the encoder failed; the test said so")


async def test_a_page_that_the_model_cannot_make_is_empty_and_goes_on_where_it_began(plain_shop: WishedShop) -> None:
    """What is popular would repeat and skip; so law 6 is kept by a page that may be asked for again."""
    query = Query(ANN, 5, wishes=PAGED)
    whole = ids(await plain_shop.ask(replace(query, k=10)))
    first = await plain_shop.ask(query)
    scorer = plain_shop.model.scorer
    plain_shop.model = replace(plain_shop.model, scorer=Fails(scorer))
    failed = await page_after(plain_shop, query, first, 5)
    assert (ids(failed), failed.degraded, failed.next_page) == ([], Degraded.MODEL_FAILED, first.next_page)
    simpler = await plain_shop.ask(replace(query, k=6))
    assert (ids(simpler)[0], simpler.degraded, simpler.next_page) == (item_id(1), Degraded.MODEL_FAILED, None)
    plain_shop.model = replace(plain_shop.model, scorer=scorer)
    assert ids(first) + ids(await page_after(plain_shop, query, failed, 5)) == whole


async def test_a_page_that_comes_too_late_likewise(plain_shop: WishedShop) -> None:
    query = Query(ANN, 5, wishes=PAGED)
    first = await plain_shop.ask(query)
    assert first.next_page is not None
    seconds = iter([0.0, 0.6, 0.6, 0.6, 0.6])
    late = await plain_shop.recommender.recommend(
        replace(query, page=Page.of(first.next_page.token)), Patience(1.0, lambda: next(seconds))
    )
    assert (ids(late), late.degraded, late.next_page) == ([], Degraded.LATE, first.next_page)
