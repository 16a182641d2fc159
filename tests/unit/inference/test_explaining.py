"""Why an item is in a list: measured, held against asking again with a history that lacks the event."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.domain.interactions import UserHistory
from services.domain.recommendations import Explanation, Query
from services.domain.wishes import Boost, Filter, MustInclude, Quota, Wishes
from services.inference.excluded import Rows, Vector
from services.inference.scorers import Scorer, VectorScorer
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import KINDS
from tests.fakes.wished_shop import ANN, WishedShop, ids, item_id

HISTORY = history_of("item-1", "item-5", "unknown", "item-9", "item-12")


@pytest.fixture(params=[kind for kind in KINDS if kind != "popularity"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1", request.param)
    shop.histories.histories[ANN] = HISTORY
    return shop


async def test_an_events_influence_is_what_the_score_loses_without_it(shop: WishedShop) -> None:
    answer = await shop.ask(Query(ANN, 5, explain=True))
    whole = await shop.ranked(Query(ANN))
    measured = dict[int, dict[str, float]]()
    for place, entry in enumerate(HISTORY.entries):
        rest = (*HISTORY.entries[:place], *HISTORY.entries[place + 1 :])
        shop.histories.histories[ANN] = UserHistory(rest, frozenset(), f"without {place}")
        without = await shop.ranked(Query(ANN))
        measured[entry.event_time_us] = {each: whole[each] - without[each] for each in whole}
    for item, explanation in zip(answer.items, answer.explanations, strict=True):
        expected = sorted((abs(changes[item.item_id]) for changes in measured.values()), reverse=True)[:3]
        found = [abs(each.change) for each in explanation.influences]
        assert found == pytest.approx([each for each in expected if each], abs=1e-6)
        for each in explanation.influences:
            assert each.change == pytest.approx(measured[each.event_time_us][item.item_id], abs=1e-6)
            assert (each.item_id, each.event_type) == (f"item-{each.item_id[5:]}", "view")


async def test_the_list_is_the_same_explained_or_not_and_from_the_cache(shop: WishedShop) -> None:
    plain = await shop.ask(Query(ANN, 5))
    explained = await shop.ask(Query(ANN, 5, explain=True))
    assert (explained.items, explained.cache_hit, len(explained.explanations)) == (plain.items, True, 5)
    assert plain.explanations == ()


async def test_each_rule_that_acted_is_named(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = HISTORY
    wishes = Wishes(
        filter=Filter(any_categories=frozenset({"art"})),
        boosts=(Boost(2.0, category="eggs"), Boost(3.0, category="art")),
        must_include=(MustInclude(item_id(30), 2),),
        quotas=(Quota(100),),
        diversity=0.2,
        context=(item_id(20),),
    )
    answer = await shop.ask(Query(ANN, 8, wishes=wishes, explain=True))
    said = {item.item_id: set(each.rules) for item, each in zip(answer.items, answer.explanations, strict=True)}
    assert said[item_id(30)] == {"must_include[0]"}
    for each in set(ids(answer)) - {item_id(30)}:
        boosted = {"boosts[1]"} | ({"boosts[0]"} if "eggs" in shop.known[each].categories else set())
        assert said[each] - {"context_item_ids"} == {"filter", "diversity", "quotas"} | boosted
    assert any("context_item_ids" in each for each in said.values())


async def test_a_popular_list_is_nobodys_events_doing(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1")
    answer = await shop.ask(Query(ANN, 3, explain=True))
    assert answer.explanations == (Explanation(),) * 3


class FailsOnShortHistories(VectorScorer):
    """For a history without the last event."""

    def __init__(self, scorer: Scorer) -> None:
        self._whole = scorer

    def knows(self, history: HistoryRows) -> bool:
        return self._whole.knows(history)

    def ranked(self, history: HistoryRows, rows: Rows) -> tuple[Rows, Vector]:
        if len(history.items) < 4:
            raise BundleBroken("the encoder failed; the test said so")
        return self._whole.ranked(history, rows)


async def test_an_answer_stands_when_its_reasons_cannot_be_measured(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = HISTORY
    await shop.ask(Query(ANN, 3))
    shop.model = replace(shop.model, scorer=FailsOnShortHistories(shop.model.scorer))
    answer = await shop.ask(Query(ANN, 3, explain=True))
    assert (len(answer.items), [each.influences for each in answer.explanations]) == (3, [(), (), ()])
