"""The guide's page on asking does what it says: every block is run against two real workers, a database and Redis."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.domain.ids import ItemId
from services.domain.items import Item, Price
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.guide_pages import GUIDE, Reader, blocks
from tests.integration.serving_process import Serving, start, write_events
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

PAGE = GUIDE / "ask-for-a-list.md"
BRANDS = ("acme", "best", "acme", "best", "other", "acme")


def shop() -> list[Item]:
    """As the page tells of it."""
    return [
        Item(
            ItemId(f"item-{number}"),
            f"The {number}th",
            ("Comedy",) if number % 2 else ("Crime",),
            {"brand": BRANDS[number - 1]},
            update_time_us=1,
            price=Price("EUR", 3 * number) if number != 5 else None,
        )
        for number in range(1, 7)
    ]


@pytest.fixture
def serving(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    own_database = redis_url.removesuffix("/0") + "/12"
    write_events(own_database, "ann", "item-1")
    serving = start(tmp_path / "home", own_database)
    serving.publish(tmp_path / "drafts", "v1", item_vectors(1))
    catalog_of(serving).upsert(shop())
    serving.promote("v1")
    wait_until(lambda: serves(serving), what="both workers serve v1 and know the shop")
    yield serving
    serving.process.terminate()
    serving.process.wait(timeout=30)


def catalog_of(serving: Serving) -> SqlItemCatalog:
    return SqlItemCatalog(connect(serving.settings.database_url))


def serves(serving: Serving) -> bool:
    try:
        return serving.versions() == {"v1"} and {frozenset(found) for found in asked(serving, "Comedy")} == {
            frozenset({"item-1", "item-3", "item-5"})
        }
    except grpc.RpcError:
        return False


def asked(serving: Serving, category: str) -> list[tuple[str, ...]]:
    """The same list by many connections, so from both workers."""
    request = wire.RecommendRequest(user_id="ann", filter=wire.Filter(any_categories=[category]))
    lists = []
    for _ in range(8):
        with serving.channel() as channel:
            reply = RecommenderServiceStub(channel).Recommend(request, timeout=10)
        assert not reply.degraded
        lists.append(tuple(item.item_id for item in reply.items))
    return lists


def test_every_block_of_the_page_runs(serving: Serving, tmp_path: Path) -> None:
    port = serving.address.rpartition(":")[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NIGHTJAR_HOME": str(serving.home),
        "NIGHTJAR_SERVE__PORT": port,
        "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "NIGHTJAR_REDIS__URL": "redis://127.0.0.1:1/0",
        "COLUMNS": "200",
    }
    reader = Reader(environment, {"50051": port}, tmp_path)
    who, filtered, ruled, paged, why = [reader.run(block) for block in blocks(PAGE.read_text(encoding="utf-8"))]
    assert [line.split()[0] for line in who.splitlines()] == ["model", "model", "popular"]
    first, _, _ = filtered.partition("\n")
    assert {item["item_id"] for item in json.loads(first)["items"]} == {"item-1", "item-3"}
    assert "('item-6', 'rule')" in ruled.split("), ")[0] + ")"
    assert "left out: [('item-9', 'unknown_item')]" in ruled
    listed, error = paged.splitlines()
    assert sorted(json.loads(listed.replace("'", '"'))) == [f"item-{number}" for number in range(1, 7)]
    assert error == "INVALID_ARGUMENT page_token"
    assert "view of item-1" in why
    assert "boosts[0]" in why


def test_what_the_catalog_says_counts_in_every_workers_answers_and_goes_on_without_it(serving: Serving) -> None:
    """And nobody gets a stale list from the cache (law 2); the database away is no reason to know less (law 6)."""
    changed = Item(ItemId("item-2"), categories=("Comedy",), update_time_us=2)
    catalog_of(serving).upsert([changed])
    wait_until(
        lambda: all({"item-1", "item-2", "item-3", "item-5"} == set(found) for found in asked(serving, "Comedy")),
        what="both workers know that item-2 is a comedy",
    )
    database = Path(serving.settings.database_url.partition("///")[2])
    database.rename(database.with_suffix(".away"))
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.mkdir()  # what is asked of it fails
    wait_until(lambda: len(serving.said("catalog_down")) > 0, what="the workers miss the database")
    assert all("item-2" in found for found in asked(serving, "Comedy"))
