"""Real Kafka to the real log and the real Redis, in real writer processes that are also killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.adapters.kafka_admin import ensure_topics, open_admin, topic_specs
from services.adapters.kafka_cluster import group_lag
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.domain.ids import ItemId, UserId
from services.domain.streams import Counts
from tests.fakes.streams import event_json
from tests.integration.pipeline import Pipeline, history_of, read_all, user_event
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


@pytest.fixture
def pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    yield built
    built.producer.close()


def test_good_bad_and_repeated_events_each_end_where_they_should(pipeline: Pipeline) -> None:
    for number in range(20):
        pipeline.send(user_event(number, "ada", f"i{number}"), content_type="application/x-protobuf")
    pipeline.send(user_event(3, "ada", "i3"), content_type="application/x-protobuf")
    pipeline.send(event_json("json-1", userId="bob"), key="bob")
    pipeline.send(b"{ not json", key="bob")
    pipeline.send(event_json("big", surface="x" * 70_000), key="bob")
    pipeline.send(event_json("odd", type="teleport"), key="bob")
    pipeline.producer.flush()
    with pipeline.writer("offline") as child:
        wait_until(lambda: pipeline.counts().read == 25, what="25 records read")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=15) == 0
    assert pipeline.counts() == Counts(read=25, logged=21, dead=3, duplicate=1)
    assert pipeline.log().num_events() == 21
    letters = read_all(pipeline, pipeline.topic + ".dlq")
    assert Counter(letter["reason"] for letter in letters) == {"malformed": 1, "oversized": 1, "unknown_type": 1}
    assert {letter["source-topic"] for letter in letters} == {pipeline.topic}
    assert len({(letter["source-partition"], letter["source-offset"]) for letter in letters}) == 3


def test_killed_writers_lose_and_repeat_nothing(pipeline: Pipeline) -> None:
    """SIGKILL in the middle of a stream, several times; the log ends with exactly what was sent."""
    sent = 0
    for _ in range(4):
        for _ in range(500):
            pipeline.send(
                user_event(sent, f"u{sent % 7}", f"i{sent}"), key=f"u{sent % 7}", content_type="application/x-protobuf"
            )
            sent += 1
        pipeline.producer.flush()
        with pipeline.writer("offline") as child:
            # Dies as soon as it has stored something of this round, with more likely under way.
            enough = sent - 400
            wait_until(lambda: pipeline.counts().read > enough, timeout_s=30)  # noqa: B023 - called before it changes
            child.kill()
            child.wait()
    with pipeline.writer("offline"):
        wait_until(lambda: pipeline.counts().read == sent, timeout_s=40, what=f"{sent} records read")
    log = pipeline.log()
    assert pipeline.counts() == Counts(read=sent, logged=sent)
    assert sorted(each for ids, _ in log.recent_ids(7 * 86_400_000_000) for each in ids) == [
        f"e{n:05}" for n in range(sent)
    ]


def test_an_event_is_in_the_history_and_dead_ones_are_passed_over(pipeline: Pipeline) -> None:
    user = UserId(f"user-{pipeline.name}")

    with pipeline.writer("online"):
        pipeline.send(b"broken", key=user)
        for number in range(5):
            pipeline.send(user_event(number, user, f"i{number}"), key=user, content_type="application/x-protobuf")
        pipeline.producer.flush()
        wait_until(
            lambda: len(asyncio.run(history_of(pipeline.redis_url, user)).entries) == 5, what="a history of five"
        )
    history = asyncio.run(history_of(pipeline.redis_url, user))
    assert [entry.item_id for entry in history.entries] == [f"i{n}" for n in range(5)]
    assert history.consumed == {f"i{n}" for n in range(5)}


def test_a_topic_made_anew_stops_the_writer_and_the_log_stays_as_it_was(pipeline: Pipeline, tmp_path: Path) -> None:
    """Its offsets begin at 0 again: stored over the old ones, a rebuild would leave the old events out."""
    for number in range(5):
        pipeline.send(event_json(f"old {number}"))
    pipeline.producer.flush()
    with pipeline.writer("offline"):
        wait_until(lambda: pipeline.counts().read == 5, timeout_s=40)
    with contextlib.closing(open_admin(pipeline.servers, 10.0)) as admin:
        admin.delete_topics([pipeline.topic])
        wait_until(lambda: pipeline.topic not in admin.list_topics(), timeout_s=30, what="the topic's deletion")
    ensure_topics(pipeline.servers, topic_specs(pipeline.topic, pipeline.items_topic, pipeline.users_topic, 2))
    pipeline.send(event_json("new"))
    pipeline.producer.flush()
    said = tmp_path / "said"
    with said.open("w") as log_file, pipeline.writer("offline", log_file) as child:
        assert child.wait(timeout=60) == 1
    assert "the topic was made anew" in said.read_text()
    assert pipeline.counts() == Counts(read=5, logged=5)
    assert pipeline.log().num_events() == 5


def test_a_redis_that_is_down_loses_nothing_and_is_caught_up_with(
    pipeline: Pipeline, tmp_path: Path, kafka_servers: str
) -> None:
    """Law 6: the writer waits, and all that came meanwhile is there once Redis is."""
    port, user = any_free(), UserId("ada")
    pipeline.environment["NIGHTJAR_REDIS__URL"] = f"redis://{LOOPBACK}:{port}/0"
    for number in range(5):
        pipeline.send(user_event(number, user, f"i{number}"), key=user, content_type="application/x-protobuf")
    pipeline.producer.flush()
    log = (tmp_path / "online.log").open("w+")
    with pipeline.writer("online", log):
        wait_until(lambda: "store_down_waiting" in (tmp_path / "online.log").read_text(), timeout_s=60)
        group = f"{pipeline.name}-online"
        assert group_lag(kafka_servers, group, pipeline.topic) == 5
        with running(valkey.program(valkey.find_server(), tmp_path / "valkey", port, tmp_path / "valkey.log")):
            wait_until(lambda: group_lag(kafka_servers, group, pipeline.topic) == 0, timeout_s=30)
            history = asyncio.run(history_of(pipeline.environment["NIGHTJAR_REDIS__URL"], user))
    assert [entry.item_id for entry in history.entries] == [f"i{n}" for n in range(5)]


def test_items_reach_the_catalog_and_bad_ones_the_dead_letters(pipeline: Pipeline) -> None:
    catalog = SqlItemCatalog(connect(pipeline.settings.database_url))
    topic = pipeline.items_topic
    pipeline.send(b'{"itemId":"1","title":"New","updateTime":"2026-01-02T00:00:00Z"}', key="1", topic=topic)
    pipeline.send(b'{"itemId":"1","title":"Old","updateTime":"2026-01-01T00:00:00Z"}', key="1", topic=topic)
    pipeline.send(b'{"itemId":"2","title":"No time"}', key="2", topic=topic)
    pipeline.send(b'{"itemId":"3","categories":["Noir"],"updateTime":"2026-01-01T00:00:00Z"}', key="3", topic=topic)
    pipeline.producer.flush()
    with pipeline.writer("catalog"):
        wait_until(lambda: catalog.count() == 2, what="two items")
        # Dead letters come last; what is committed is done.
        wait_until(lambda: group_lag(pipeline.servers, f"{pipeline.name}-catalog", topic) == 0, what="all is done")
    stored = catalog.get([ItemId("1"), ItemId("2"), ItemId("3")])
    assert {item_id: (item.title, item.categories) for item_id, item in stored.items()} == {
        "1": ("New", ()),
        "3": ("", ("Noir",)),
    }
    (letter,) = read_all(pipeline, topic + ".dlq")
    assert (letter["reason"], letter["detail"]) == ("invalid_field", "update_time is missing")


def test_a_missing_broker_is_one_clear_error(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "services.ingest", "offline"],
        env=os.environ | {"NIGHTJAR_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 1
    assert "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS" in child.stderr
    assert "Traceback" not in child.stderr
