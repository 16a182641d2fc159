"""How the running system is: its brokers, topics, writers, Redis, log and servers, whoever started them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.embedded.state import connected
from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.adapters.kafka_admin import TopicSpec, topic_specs
from services.adapters.kafka_cluster import KafkaCluster
from services.adapters.redis_server import COMPACT_OPTIONS, options_to_raise
from services.adapters.redis_store import looking
from services.cli.doctor.finding import Finding
from services.cli.doctor.serving import examine_servers
from services.cli.ingest.looking import look
from services.domain.errors import BrokerDown, EventLogDown, FeatureStoreDown, NightjarError
from services.ingest.troubles import Subject, rates_of, troubles_of
from services.settings import Settings

KAFKA_TIMEOUT_S: Final = 5.0  # larger: a doctor who takes long; smaller: a distant cluster looks dead
SMALL_FILE_BYTES: Final = 1_048_576  # larger: a young log is blamed; smaller: a crumbled one is not
MANY_FILES: Final = 1_000  # likewise


def examine_running(settings: Settings) -> list[Finding]:
    """Says in one line that nothing runs, or looks at each part."""
    try:
        reached = connected(settings)
    except NightjarError as error:
        return [Finding("Running system", False, "not known", str(error))]
    if reached.kafka.bootstrap_servers is None:
        return [Finding("Running system", False, "none", "`nightjar up` starts it.", needed=False)]
    return [
        *_kafka(reached, reached.kafka.bootstrap_servers),
        *_redis(reached),
        *_log(reached.log_folder),
        *examine_servers(reached),
    ]


def _kafka(settings: Settings, servers: str) -> Iterator[Finding]:
    try:
        with KafkaCluster(servers, KAFKA_TIMEOUT_S) as cluster:
            yield Finding("Kafka", True, f"answers at {servers}")
            yield from _topics(settings, cluster)
            yield from _way_in(settings, cluster)
    except BrokerDown as error:
        yield Finding("Kafka", False, "does not answer as it should", str(error))


def _topics(settings: Settings, cluster: KafkaCluster) -> Iterator[Finding]:
    kafka = settings.kafka
    specs = topic_specs(kafka.events_topic, kafka.items_topic, kafka.users_topic, kafka.num_partitions)
    found = cluster.partitions([spec.name for spec in specs])
    policies = cluster.topic_settings(list(found))
    wrong = list(_wrong_topics(specs, {name: policies[name].get("cleanup.policy", "") for name in found}))
    yield from wrong
    if not wrong:
        num_partitions = len(found[kafka.events_topic])
        yield Finding("Topics", True, f"all {len(found)} are there; {num_partitions} writers can share the events")


def _wrong_topics(specs: list[TopicSpec], policies: dict[str, str]) -> Iterator[Finding]:
    for spec in specs:
        policy, compacted = policies.get(spec.name), spec.configs.get("cleanup.policy") == "compact"
        if policy is None:
            yield Finding("Topics", False, f"{spec.name} is missing", "`nightjar up` makes it, or make it yourself.")
        elif compacted and "compact" not in policy:
            yield Finding(
                "Topics",
                False,
                f"{spec.name} has cleanup.policy={policy}",
                "Set cleanup.policy=compact, or its oldest records are forgotten though they are the newest of theirs.",
            )
        elif not compacted and "compact" in policy:
            yield Finding(
                "Topics",
                False,
                f"{spec.name} has cleanup.policy={policy}",
                "Set cleanup.policy=delete: compaction keeps one record of a key, and every record here counts.",
            )


def _way_in(settings: Settings, cluster: KafkaCluster) -> Iterator[Finding]:
    try:
        status = look(settings, cluster)
    except EventLogDown as error:
        yield Finding("Way in", False, "not known while the event log cannot be read", str(error))
        return
    counts = status.counts
    detail = f"{counts.read:,} records read, {counts.logged:,} logged; `nightjar ingest status` says more"
    troubles = list(troubles_of(status, rates_of(status, None)))
    yield Finding("Way in", True, detail) if status.conserved else Finding("Way in", False, detail, "See below.")
    for trouble in troubles:
        if trouble.subject is Subject.WAY_IN:  # topics and Redis have findings of their own
            yield Finding("Way in", False, "", trouble.sentence, needed=trouble.failing)


def _redis(settings: Settings) -> Iterator[Finding]:
    if settings.redis.url is None:
        yield Finding("Redis", False, "its address is not known", "Set NIGHTJAR_REDIS__URL.")
        return
    try:
        url = settings.redis.url.get_secret_value()
        server, raised = looking.server(url), options_to_raise(url)
    except FeatureStoreDown as error:
        yield Finding("Redis", False, "does not answer", str(error))
        return
    yield Finding("Redis", True, f"answers; version {server.version}, {server.used_bytes / 2**20:,.0f} MiB used")
    if server.eviction not in ("", "noeviction"):
        yield Finding(
            "Redis",
            False,
            f"maxmemory-policy is {server.eviction}",
            "Set it to noeviction, or histories vanish when memory is short.",
            needed=False,
        )
    for option, value in raised.items():
        remedy = (
            f"CONFIG SET {option} {COMPACT_OPTIONS[option]}, and in its file: or a full history takes much more memory."
        )
        yield Finding("Redis", False, f"{option} is {value}", remedy, needed=False)


def _log(folder: Path) -> Iterator[Finding]:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("Event log", False, f"{existing} is not writable", "Give its owner's rights to the writers.")
        return
    try:
        facts = DeltaLogKeeper(folder, target_file_bytes=0, min_small_files=0).facts()
    except NightjarError as error:
        yield Finding("Event log", False, "cannot be read", str(error))
        return
    if facts is None:
        yield Finding("Event log", True, "none yet; the offline writer makes it")
        return
    detail = f"{facts.num_events:,} events in {facts.num_files:,} files, {facts.disk_bytes / 2**20:,.0f} MiB on disk"
    crumbled = facts.num_files > MANY_FILES and facts.size_bytes / facts.num_files < SMALL_FILE_BYTES
    remedy = "Many small files are slow to read; `nightjar log housekeeping` merges them, as every night does."
    yield Finding("Event log", not crumbled, detail, remedy if crumbled else "", needed=False)
