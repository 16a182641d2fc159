"""`nightjar recommend` against a gRPC server in this process and a catalog in a temporary SQLite file."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

from nightjar.v1 import recommender_service_pb2 as pb2
from nightjar.v1.item_pb2 import Price
from nightjar.v1.recommender_service_pb2_grpc import (
    RecommenderServiceServicer,
    add_RecommenderServiceServicer_to_server,
)
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.migrate import upgrade
from services.cli import recommend
from services.domain.errors import NotRunning
from services.domain.ids import ItemId
from services.domain.items import Item

Ask = Callable[..., Result]
EVIL = "[/foo] \x1b]0;owned\x07\x9b2J\x1b[31m\\"


EXPLAINED = pb2.RecommendResponse(
    items=[
        pb2.ScoredItem(
            item_id="50",
            rank=1,
            source=pb2.SOURCE_SIMILAR,
            explanation=pb2.Explanation(
                influences=[pb2.Influence(item_id="7", event_type="view", change=0.25)], rules=["filter", "boosts[0]"]
            ),
        )
    ],
    next_page_token="t2",
    left_out=[pb2.LeftOutItem(item_id="9", reason=pb2.NOT_RANKED_REASON_UNAVAILABLE)],
)


class Recommender(RecommenderServiceServicer):
    """Gives everybody the same two items; `user 1` is unknown and the online store is down for `user 2`."""

    def __init__(self) -> None:
        self.requests: list[pb2.RecommendRequest] = []

    def Recommend(self, request: pb2.RecommendRequest, context: Any) -> pb2.RecommendResponse:  # noqa: N802
        self.requests.append(request)
        if request.explain:
            return EXPLAINED
        degraded = request.user_id == "2"
        return pb2.RecommendResponse(
            request_id="r1",
            model_version="v7",
            history_version="" if request.user_id == "1" else "ab12",
            items=[
                pb2.ScoredItem(item_id="50", score=2.5, rank=1),
                pb2.ScoredItem(item_id="51", score=1.25, rank=2),
            ][: request.k]
            if request.user_id != "[/foo]"
            else [pb2.ScoredItem(item_id="evil", rank=1), pb2.ScoredItem(item_id=EVIL, rank=2)],
            source=pb2.SOURCE_POPULAR if request.user_id == "1" else pb2.SOURCE_MODEL,
            degraded=degraded,
            degraded_reason=pb2.DEGRADED_REASON_FEATURE_STORE_DOWN if degraded else pb2.DEGRADED_REASON_UNSPECIFIED,
        )

    def RecommendBatch(self, request: pb2.RecommendBatchRequest, context: Any) -> pb2.RecommendBatchResponse:  # noqa: N802
        return pb2.RecommendBatchResponse()

    def RankItems(self, request: pb2.RankItemsRequest, context: Any) -> pb2.RankItemsResponse:  # noqa: N802
        return pb2.RankItemsResponse()

    def PopularItems(self, request: pb2.PopularItemsRequest, context: Any) -> pb2.PopularItemsResponse:  # noqa: N802
        return pb2.PopularItemsResponse()

    def SimilarItems(self, request: pb2.SimilarItemsRequest, context: Any) -> pb2.SimilarItemsResponse:  # noqa: N802
        return pb2.SimilarItemsResponse()


@pytest.fixture
def recommender() -> Recommender:
    return Recommender()


@pytest.fixture
def ask(tmp_path: Path, recommender: Recommender) -> Iterator[Ask]:
    """Runs `nightjar recommend`; item 50 has a title that Rich must not take for markup, 51 is not in the catalog."""
    server = grpc.server(ThreadPoolExecutor(2))
    add_RecommenderServiceServicer_to_server(recommender, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    upgrade(url)
    catalog = SqlItemCatalog(connect(url))
    catalog.upsert([Item(ItemId("50"), "Star [bold] Wars", ("Action", "Sci-Fi")), Item(ItemId("evil"), EVIL, (EVIL,))])
    app = typer.Typer()
    app.command()(recommend.recommend)

    def run(*arguments: str, **environment: str) -> Result:
        settings = {
            "NIGHTJAR_HOME": str(tmp_path),
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "NIGHTJAR_REDIS__URL": "redis://127.0.0.1:1/0",
            "NIGHTJAR_SERVE__PORT": str(port),
            "NIGHTJAR_SERVE__HOST": "0.0.0.0",  # noqa: S104 - listens everywhere, is asked on loopback
            "COLUMNS": "200",
        }
        return CliRunner().invoke(app, list(arguments), env=settings | environment)

    yield run
    server.stop(grace=None).wait()


def test_a_person_sees_titles_and_where_the_list_comes_from(ask: Ask) -> None:
    text = ask("42").stdout
    assert "Star [bold] Wars" in text
    assert "Action, Sci-Fi" in text
    assert "2.500" in text
    assert "51" in text, "an item without a title is shown by its id"
    assert "Model v7 · from the user's history · history ab12 · computed · " in text


def test_no_title_makes_a_terminal_do_anything_or_breaks_the_table(ask: Ask) -> None:
    result = ask("[/foo]")
    assert result.exception is None
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert "For [/foo]" in result.stdout
    assert result.stdout.count("[/foo] \N{REPLACEMENT CHARACTER}]0;owned") == 3, "title, categories, item id"


def test_an_unknown_user_is_told_so(ask: Ask) -> None:
    assert "popular items, since the model knows nothing of this user · history empty" in ask("1").stdout


def test_a_degraded_answer_is_told_so(ask: Ask) -> None:
    assert "Model v7 · degraded (feature_store_down) · " in ask("2").stdout


def test_a_program_gets_one_json_object(ask: Ask) -> None:
    answer = json.loads(ask("42", "-k", "1", "--json").stdout)
    assert answer.pop("latency_ms") > 0
    assert answer == {
        "user_id": "42",
        "items": [
            {
                "item_id": "50",
                "score": 2.5,
                "rank": 1,
                "source": "",
                "explanation": None,
                "title": "Star [bold] Wars",
                "categories": ["Action", "Sci-Fi"],
            }
        ],
        "request_id": "r1",
        "model_version": "v7",
        "history_version": "ab12",
        "source": "model",
        "degraded": False,
        "degraded_reason": "",
        "cache_hit": False,
        "catalog_version": "",
        "next_page_token": "",
        "left_out": [],
    }


def test_without_the_catalog_the_answer_comes_without_titles(ask: Ask, tmp_path: Path) -> None:
    """The list does not depend on the catalog; its absence is told on standard error."""
    result = ask("42", "--json", NIGHTJAR_DATABASE__URL=f"sqlite:///{tmp_path / 'empty.db'}")
    assert [item["title"] for item in json.loads(result.stdout)["items"]] == ["", ""]
    assert "titles are missing" in result.stderr


def test_nobody_serving_is_one_sentence(ask: Ask) -> None:
    result = ask("42", "--timeout", "0.5", NIGHTJAR_SERVE__PORT="1")
    assert isinstance(result.exception, NotRunning)
    assert "127.0.0.1:1" in str(result.exception)


def test_flags_are_wishes(ask: Ask, recommender: Recommender) -> None:
    flags = (
        "--category art --category dogs --without eggs --attribute brand=acme --attribute brand=x=y --attribute size= "
        "--boost category:art=2 --boost item:50=0.5 --boost brand:acme=3 --include 9@2 --include 8 --quota 3 "
        "--quota art=1 --diversity 0.3 --context 7 --surface home --paged --page t1"
    )
    asked = ask("42", *flags.split(), "--min-price", "5 EUR", "--max-price", "12.99 EUR")
    assert asked.exit_code == 0, asked.output
    expected = pb2.RecommendRequest(
        user_id="42",
        k=10,
        filter=pb2.Filter(
            any_categories=["art", "dogs"],
            no_categories=["eggs"],
            attributes=[
                pb2.AttributeFilter(name="brand", values=["acme", "x=y"]),
                pb2.AttributeFilter(name="size", values=[""]),
            ],
            min_price=Price(currency_code="EUR", units=5),
            max_price=Price(currency_code="EUR", units=12, nanos=990_000_000),
        ),
        boosts=[
            pb2.Boost(weight=2, category="art"),
            pb2.Boost(weight=0.5, items=pb2.ItemIds(item_ids=["50"])),
            pb2.Boost(weight=3, attribute=pb2.AttributeFilter(name="brand", values=["acme"])),
        ],
        must_include=[pb2.MustInclude(item_id="9", position=2), pb2.MustInclude(item_id="8")],
        quotas=[pb2.CategoryQuota(max_items=3), pb2.CategoryQuota(category="art", max_items=1)],
        diversity=0.3,
        context_item_ids=["7"],
        surface="home",
        paged=True,
        page_token="t1",
    )
    assert recommender.requests == [expected]


def test_a_request_without_flags_has_no_wishes(ask: Ask, recommender: Recommender) -> None:
    ask("42")
    assert recommender.requests == [pb2.RecommendRequest(user_id="42", k=10)]


@pytest.mark.parametrize(
    "flags",
    [
        ["--boost", "art=2"], ["--boost", "category:art"], ["--boost", "category:art=much"], ["--boost", ":a=1"],
        ["--include", "9@first"], ["--include", "@1"], ["--quota", "art"], ["--quota", "art=-1"],
        ["--attribute", "brand"], ["--min-price", "5"], ["--max-price", "cheap EUR"], ["--diversity", "1.5"],
    ],
)  # fmt: skip
def test_flags_that_say_nothing_are_misuse(ask: Ask, recommender: Recommender, flags: list[str]) -> None:
    asked = ask("42", *flags)
    assert asked.exit_code == 2
    assert flags[0] in asked.output
    assert recommender.requests == []


def test_a_person_reads_why_and_how_it_goes_on(ask: Ask) -> None:
    text = ask("42", "--explain").stdout
    assert "1. similar: view of 7 +0.250, filter, boosts[0]" in text
    assert "Left out: 9 (unavailable)" in text
    assert "Next page: --page t2" in text
    explained = json.loads(ask("42", "--explain", "--json").stdout)["items"][0]["explanation"]
    assert (explained["rules"], explained["influences"][0]["change"]) == (["filter", "boosts[0]"], 0.25)
