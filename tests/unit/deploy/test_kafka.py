"""Kafka's properties, and a format that fails."""

from pathlib import Path

import pytest

from deploy.embedded.java import JavaRuntime
from deploy.embedded.kafka import KafkaNode, format_once, server_properties
from services.domain.errors import StartFailed

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


@pytest.mark.parametrize(
    ("script", "sentence"),
    [("exec tail -f /dev/null", "not formatted within 0.2 s"), ("exit 1", "cannot be formatted")],
    ids=["hangs", "fails"],
)
def test_a_format_that_does_not_succeed_is_one_sentence_and_leaves_no_data(
    script: str, sentence: str, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    node, log = KafkaNode(tmp_path, 9092, 9093, heap_mib=128), tmp_path / "kafka.log"
    with pytest.raises(StartFailed, match=sentence) as raised:
        format_once(node, JavaRuntime(str(java), 17, "test"), "jars", log, timeout_s=0.2)
    assert str(log) in str(raised.value)
    assert not node.data.exists()
