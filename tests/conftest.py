"""Real servers for the tests, started once a session. Nothing to start one from: skipped on a laptop, failed in CI."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.embedded import kafka, kafka_jars, valkey
from deploy.embedded.java import find_java
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.domain.errors import MissingDependency
from services.settings import Settings
from tests import postgres, redis_cluster
from tests.s3 import S3, s3_server

# Two files run at a time, and threads that spin while they wait for one another take the other's core: then a month of
# nights took 408 s instead of 89. Read when torch is loaded, which nothing above does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _missing(reason: MissingDependency) -> NoReturn:
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka; each test takes topics and groups of its own."""
    folder = tmp_path_factory.mktemp("kafka")
    node = kafka.KafkaNode(folder, any_free(), any_free(), heap_mib=384)
    try:
        java, class_path = find_java(), kafka_jars.class_path(Settings().cache_folder)
    except MissingDependency as reason:
        _missing(reason)
    with running(kafka.program(node, java, class_path, folder / "kafka.log")):
        yield node.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the PATH with Apache Kafka's own `kafka-console-producer.sh`, from the jars of its tools."""
    try:
        java, class_path = find_java(), kafka_jars.class_path(Settings().cache_folder, kafka_jars.TOOLS_COORDINATES)
    except MissingDependency as reason:
        _missing(reason)
    script = tmp_path_factory.mktemp("kafka-tools") / "kafka-console-producer.sh"
    main = "org.apache.kafka.tools.ConsoleProducer"
    script.write_text(f"#!/bin/sh\nexec '{java.path}' -XX:TieredStopAtLevel=1 -cp '{class_path}' {main} \"$@\"\n")
    script.chmod(0o755)
    return script.parent


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A real S3 over HTTP; each test takes a bucket of its own."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis or Valkey; each test takes keys of its own."""
    folder, port = tmp_path_factory.mktemp("valkey"), any_free()
    try:
        server = valkey.find_server()
    except MissingDependency as reason:
        _missing(reason)
    with running(valkey.program(server, folder, port, folder / "valkey.log")):
        yield f"redis://{LOOPBACK}:{port}/0"


@pytest.fixture(scope="session")
def redis_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis Cluster of three nodes; each test takes keys of its own."""
    try:
        with redis_cluster.cluster(tmp_path_factory.mktemp("valkey-cluster")) as url:
            yield url
    except MissingDependency as reason:
        _missing(reason)


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    try:
        with postgres.server() as address:
            yield address
    except MissingDependency as reason:
        _missing(reason)


@pytest.fixture
def postgres_url(_postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database on a real PostgreSQL."""
    with postgres.database(_postgres_server) as url:
        yield url
