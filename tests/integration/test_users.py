"""Users and their tombstones: from the SDK over a real Kafka into the real database, and out of the real Redis."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from nightjar import EventProducer, Item, User
from services.adapters.kafka_cluster import group_lag
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.user_directory import SqlUserDirectory
from services.domain.clock import SystemClock
from services.domain.ids import UserId
from tests.fakes.streams import event_json
from tests.integration.pipeline import Pipeline, history_of, read_all
from tests.integration.serving_process import write_events
from tests.redis_state import client_of, state_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

KEYS_OF_ADA = "nj:{ada}"


@pytest.fixture
def pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    yield built
    built.producer.close()


def producer_of(pipeline: Pipeline) -> EventProducer:
    return EventProducer(pipeline.servers, items_topic=pipeline.items_topic, users_topic=pipeline.users_topic)


def directory_of(pipeline: Pipeline) -> SqlUserDirectory:
    return SqlUserDirectory(connect(pipeline.settings.database_url), SystemClock())


def num_events(redis_url: str, user_id: UserId) -> int:
    return len(asyncio.run(history_of(redis_url, user_id)).entries)


def test_an_erased_user_is_gone_from_the_directory_and_the_online_store_at_once(pipeline: Pipeline) -> None:
    ada, bob = UserId(f"ada-{uuid.uuid4().hex}"), UserId(f"bob-{uuid.uuid4().hex}")
    for user_id in (ada, bob):
        write_events(pipeline.redis_url, user_id, "book", "film")
    directory = directory_of(pipeline)
    with pipeline.writer("catalog"), producer_of(pipeline) as producer:
        for user_id in (ada, bob):
            producer.send_user(User(user_id, attributes={"city": "London"}))
        producer.flush()
        pipeline.send(b'{"userId":"carol","updateTime":"2026-01-01T00:00:00Z"}', key="dan", topic=pipeline.users_topic)
        pipeline.producer.flush()
        wait_until(lambda: len(directory.get([ada, bob])) == 2, timeout_s=60, what="both users are known")
        producer.erase_user(ada).result(timeout_s=30)
        wait_until(lambda: num_events(pipeline.redis_url, ada) == 0, what="the history is gone")
        producer.erase_user(ada).result(timeout_s=30)
        group = f"{pipeline.name}-users"
        wait_until(lambda: group_lag(pipeline.servers, group, pipeline.users_topic) == 0, what="all is done")
    assert set(directory.get([ada, bob])) == {bob}
    assert num_events(pipeline.redis_url, bob) == 2
    assert [wish.user_id for wish in directory.open_erasures()] == [ada]
    (letter,) = read_all(pipeline, pipeline.users_topic + ".dlq")
    assert (letter["reason"], letter["detail"]) == ("invalid_field", "the record's key is not its user_id")


def test_an_erased_user_stays_away_when_redis_is_emptied_and_filled_again(pipeline: Pipeline, tmp_path: Path) -> None:
    """Law 7: the topic still has what they did, and running writers read it again; so does one that starts."""
    port = any_free()
    pipeline.environment["NIGHTJAR_REDIS__URL"] = url = f"redis://{LOOPBACK}:{port}/0"
    ada, bob = UserId("ada"), UserId("bob")
    said = tmp_path / "online.log"
    with running(valkey.program(valkey.find_server(), tmp_path / "valkey", port, tmp_path / "valkey.log")):
        with (
            said.open("w") as log,
            pipeline.writer("catalog"),
            pipeline.writer("online", log),
            producer_of(pipeline) as producer,
        ):
            send_views(pipeline, ada, bob)
            wait_until(lambda: num_events(url, ada) == num_events(url, bob) == 5, timeout_s=60, what="both are known")
            producer.erase_user(ada).result(timeout_s=30)
            wait_until(lambda: num_events(url, ada) == 0, what="the history is gone")
            # It looks once a second; what it reads again before that is in Redis until then.
            wait_until(lambda: "users_forgotten" in said.read_text(), what="the online writer knows who asked")
            with client_of(url) as client:
                client.flushall()
            wait_until(lambda: num_events(url, bob) == 5, what="the other user is back")
            send_views(pipeline, ada, num_views=2, age=timedelta(days=1))
            send_views(pipeline, bob, num_views=2)
            wait_until(lambda: num_events(url, bob) == 7, what="what came late was read")
            assert state_of(url, f"{KEYS_OF_ADA}*") == {}
        with client_of(url) as client:
            client.flushall()
        pipeline.environment["NIGHTJAR_KAFKA__CONSUMER_GROUP_PREFIX"] = "next"  # nobody waits for the killed ones
        with pipeline.writer("online"):
            wait_until(lambda: num_events(url, bob) == 7, timeout_s=60, what="the other user is back")
            assert state_of(url, f"{KEYS_OF_ADA}*") == {}
            send_views(pipeline, ada, num_views=1)
            wait_until(lambda: num_events(url, ada) == 1, what="a user who returned is known by what they do since")


def send_views(pipeline: Pipeline, *users: UserId, num_views: int = 5, age: timedelta = timedelta()) -> None:
    """Of all users in one partition, so that an event of the last one is read after all the others."""
    moment = (datetime.now(UTC) - age).isoformat()
    for number in range(num_views):
        for user in users:
            event = event_json(uuid.uuid4().hex, userId=user, itemId=f"i{number}", eventTime=moment)
            pipeline.send(event, key="together")
    pipeline.producer.flush()


def test_without_the_database_events_reach_histories_all_the_same(pipeline: Pipeline) -> None:
    """Law 6: a writer that starts then waits a bounded time to learn who asked to be forgotten, and goes on."""
    pipeline.environment["NIGHTJAR_DATABASE__URL"] = f"postgresql+psycopg://nobody@{LOOPBACK}:{any_free()}/none"
    user_id = UserId(f"ada-{uuid.uuid4().hex}")
    with pipeline.writer("online"):
        send_views(pipeline, user_id)
        wait_until(lambda: num_events(pipeline.redis_url, user_id) == 5, timeout_s=60, what="a history of five")


def test_without_redis_a_tombstone_waits_and_items_do_not(pipeline: Pipeline, tmp_path: Path) -> None:
    """Law 6: an item that is to be hidden never waits for the store of the histories, and nothing is forgotten."""
    port, ada = any_free(), UserId("ada")
    pipeline.environment["NIGHTJAR_REDIS__URL"] = url = f"redis://{LOOPBACK}:{port}/0"
    group, log = f"{pipeline.name}-users", tmp_path / "catalog.log"
    catalog, directory = SqlItemCatalog(connect(pipeline.settings.database_url)), directory_of(pipeline)
    redis = valkey.program(valkey.find_server(), tmp_path / "valkey", port, tmp_path / "valkey.log")
    with running(redis):
        write_events(url, ada, "book")  # kept over the restart: the writer may forget it before a client is connected
    with log.open("w") as out, pipeline.writer("catalog", out), producer_of(pipeline) as producer:
        producer.erase_user(ada).result(timeout_s=30)
        wait_until(lambda: "store_down_waiting" in log.read_text(), timeout_s=60, what="the writer waits for Redis")
        assert [wish.user_id for wish in directory.open_erasures()] == [ada]
        producer.send_item(Item("book", hidden=True))
        wait_until(lambda: catalog.count() == 1, what="the item is stored meanwhile")
        assert group_lag(pipeline.servers, group, pipeline.users_topic) == 1
        with running(redis):
            wait_until(lambda: num_events(url, ada) == 0, timeout_s=30, what="the history is gone")
            wait_until(lambda: group_lag(pipeline.servers, group, pipeline.users_topic) == 0, what="all is done")
