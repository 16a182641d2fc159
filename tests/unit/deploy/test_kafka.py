"""Kafka's properties."""

from pathlib import Path

from deploy.embedded.kafka import KafkaNode, server_properties

NODE = KafkaNode(Path("/home/kafka"), port=9092, controller_port=9093, heap_mib=512)
PROPERTIES = server_properties(NODE, NODE.data)


def test_every_listener_is_on_the_loopback_address() -> None:
    for name in ("listeners", "advertised.listeners"):
        assert PROPERTIES[name] == "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"


def test_one_node_asks_for_no_second_copy() -> None:
    copies = {key: value for key, value in PROPERTIES.items() if "replication" in key or "min.i" in key}
    assert len(copies) == 7
    assert set(copies.values()) == {"1"}


def test_no_topic_appears_by_a_typing_error() -> None:
    assert PROPERTIES["auto.create.topics.enable"] == "false"


def test_a_format_aside_writes_to_its_own_folder() -> None:
    aside = server_properties(NODE, Path("/home/kafka/aside"))
    assert {key for key in aside if aside[key] != PROPERTIES[key]} == {"log.dirs"}
