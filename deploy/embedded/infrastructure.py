"""Kafka and Valkey for one home: which of them to start, on which ports, and the addresses they then have."""

from collections.abc import Mapping

from deploy.embedded import kafka, kafka_jars, ports, valkey
from deploy.embedded.java import find_java
from deploy.embedded.processes import Program
from deploy.embedded.services import GATEWAY, SCHEDULER, SERVING, log_of
from deploy.embedded.state import with_addresses
from services.settings import Settings


def addresses(settings: Settings, remembered: Mapping[str, int]) -> tuple[Settings, Mapping[str, int]]:
    """The settings with every address filled in, and the port of each part that is ours to start.

    Raises PortInUse naming the setting to change.
    """
    chosen: dict[str, int] = {}

    def choose(part: str, setting: str, wanted: int, host: str = ports.LOOPBACK) -> int:
        taken = chosen.values()
        port = ports.choose(setting, wanted, remembered=remembered.get(part), taken=taken, host=host)
        chosen[part] = port
        return port

    serve, embedded_kafka, embedded_redis = settings.serve, settings.kafka, settings.redis
    serve_port = choose(SERVING, "NIGHTJAR_SERVE__PORT", serve.port, serve.host)
    gateway_port = choose(GATEWAY, "NIGHTJAR_GATEWAY__PORT", settings.gateway.port, settings.gateway.host)
    schedule, schedule_port = settings.schedule, None
    if schedule.port is not None:
        schedule_port = choose(SCHEDULER, "NIGHTJAR_SCHEDULE__PORT", schedule.port, schedule.host)
    bootstrap_servers = redis_url = None
    if embedded_kafka.bootstrap_servers is None:
        port = choose("kafka", "NIGHTJAR_KAFKA__EMBEDDED_PORT", embedded_kafka.embedded_port)
        bootstrap_servers = f"{ports.LOOPBACK}:{port}"
        choose("kafka_controller", "", wanted=0)
    if embedded_redis.url is None:
        port = choose("valkey", "NIGHTJAR_REDIS__EMBEDDED_PORT", embedded_redis.embedded_port)
        redis_url = f"redis://{ports.LOOPBACK}:{port}/0"
    filled = with_addresses(
        settings,
        bootstrap_servers=bootstrap_servers,
        redis_url=redis_url,
        serve_port=serve_port,
        gateway_port=gateway_port,
        schedule_port=schedule_port,
    )
    return filled, chosen


def valkey_program(settings: Settings, port: int) -> Program:
    """Raises MissingDependency."""
    folder = settings.home_folder / "valkey"
    return valkey.program(valkey.find_server(), folder, port, log_of(settings, "valkey"))


def kafka_program(settings: Settings, port: int, controller_port: int) -> Program:
    """Blocks: fetches the jars and formats the folder where that was not done yet. Raises MissingDependency."""
    java = find_java()
    class_path = kafka_jars.class_path(settings.cache_folder)
    node = kafka.KafkaNode(settings.home_folder / "kafka", port, controller_port, settings.kafka.embedded_heap_mib)
    return kafka.program(node, java, class_path, log_of(settings, "kafka"))
