"""The servers that the other tests stand on are real and answer."""

import psycopg
import redis
from kafka import KafkaConsumer, KafkaProducer

from services.adapters.kafka_admin import TopicSpec, ensure_topics


def test_kafka_hands_on_what_was_produced(kafka_servers: str) -> None:
    ensure_topics(kafka_servers, [TopicSpec("fixture-check", 1)])
    producer = KafkaProducer(bootstrap_servers=kafka_servers, acks="all")
    producer.send("fixture-check", b"hello").get(timeout=10)
    producer.close()
    consumer = KafkaConsumer(
        "fixture-check", bootstrap_servers=kafka_servers, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    assert next(consumer).value == b"hello"
    consumer.close()


def test_redis_keeps_what_was_set(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("fixture-check", "1")
        assert client.get("fixture-check") == b"1"


def test_every_postgres_database_is_fresh(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE mark (id int)")
        version = connection.execute("SHOW server_version").fetchone()
    assert version


def test_another_postgres_database_knows_nothing_of_the_first(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT to_regclass('mark')").fetchone()
    assert found == (None,)
