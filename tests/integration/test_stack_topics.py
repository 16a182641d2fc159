"""The project's topics on a real Kafka."""

from uuid import uuid4

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.embedded.ports import any_free
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.domain.errors import BrokerDown

pytestmark = pytest.mark.kafka


def own_names() -> tuple[str, str, str]:
    """Events, items and users of this test alone."""
    own = uuid4().hex
    return f"events-{own}", f"items-{own}", f"users-{own}"


def test_all_topics_are_there_after_one_call_and_a_second_changes_nothing(kafka_servers: str) -> None:
    names = events, items, users = own_names()
    letters = [f"{name}.dlq" for name in names]
    specs = topic_specs(*names, num_partitions=3)
    assert ensure_topics(kafka_servers, specs) == [*names, *letters]
    assert ensure_topics(kafka_servers, specs) == []

    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
    try:
        described = {
            topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics([s.name for s in specs])
        }
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (*names, *letters)]
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
    finally:
        admin.close()
    assert described == {events: 3, items: 1, users: 1} | dict.fromkeys(letters, 1)
    policies = [configs[name]["cleanup.policy"]["value"] for name in names]
    assert policies == ["delete", "compact", "compact"]
    for kept in ("delete.retention.ms", "min.compaction.lag.ms"):  # the second: a tombstone that a newer state replaces
        assert int(configs[users][kept]["value"]) >= int(configs[events]["retention.ms"]["value"])
    assert int(configs[items]["min.compaction.lag.ms"]["value"]) == 0
    assert all(int(configs[name]["retention.ms"]["value"]) == 30 * 86_400_000 for name in letters)


def test_a_topic_made_by_its_operator_is_left_as_it_is(kafka_servers: str) -> None:
    names = own_names()
    ensure_topics(kafka_servers, topic_specs(*names, num_partitions=2))
    assert ensure_topics(kafka_servers, topic_specs(*names, num_partitions=7)) == []


def test_an_unreachable_broker_is_said_in_time() -> None:
    nobody = f"127.0.0.1:{any_free()}"
    with pytest.raises(BrokerDown, match=nobody):
        ensure_topics(nobody, topic_specs("events", "items", "users", 1), timeout_s=1.0)
