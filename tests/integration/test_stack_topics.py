"""The project's topics on a real Kafka."""

from uuid import uuid4

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.embedded.ports import any_free
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.domain.errors import BrokerDown

pytestmark = pytest.mark.kafka


def test_all_topics_are_there_after_one_call_and_a_second_changes_nothing(kafka_servers: str) -> None:
    events, items = f"events-{uuid4().hex}", f"items-{uuid4().hex}"
    specs = topic_specs(events, items, num_partitions=3)
    assert ensure_topics(kafka_servers, specs) == [events, items, f"{events}.dlq", f"{items}.dlq"]
    assert ensure_topics(kafka_servers, specs) == []

    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
    try:
        described = {
            topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics([s.name for s in specs])
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, items)
        policy = admin.describe_configs([resource], config_filter="all")["topic"][items]["cleanup.policy"]["value"]
    finally:
        admin.close()
    assert described == {events: 3, items: 1, f"{events}.dlq": 1, f"{items}.dlq": 1}
    assert policy == "compact"


def test_a_topic_made_by_its_operator_is_left_as_it_is(kafka_servers: str) -> None:
    events, items = f"events-{uuid4().hex}", f"items-{uuid4().hex}"
    ensure_topics(kafka_servers, topic_specs(events, items, num_partitions=2))
    assert ensure_topics(kafka_servers, topic_specs(events, items, num_partitions=7)) == []


def test_an_unreachable_broker_is_said_in_time() -> None:
    nobody = f"127.0.0.1:{any_free()}"
    with pytest.raises(BrokerDown, match=nobody):
        ensure_topics(nobody, topic_specs("events", "items", 1), timeout_s=1.0)
