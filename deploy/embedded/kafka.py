"""Apache Kafka as one KRaft node on the loopback address: its properties, its format, its command."""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.java import JavaRuntime
from deploy.embedded.logfiles import open_for_append
from deploy.embedded.ports import LOOPBACK
from deploy.embedded.processes import Program
from services.adapters.kafka_admin import cluster_answers
from services.domain.errors import StartFailed

FORMAT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class KafkaNode:
    """One node: where it keeps its data, and how it is reached."""

    folder: Path
    port: int
    controller_port: int
    heap_mib: int

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"


def program(node: KafkaNode, java: JavaRuntime, class_path: str, log: Path) -> Program:
    """The broker, ready to be started; formats its folder the first time, which takes about a second."""
    node.folder.mkdir(parents=True, exist_ok=True)
    format_once(node, java, class_path, log)
    properties = node.folder / "server.properties"
    _write_properties(properties, server_properties(node, node.data))
    return Program(
        name="kafka",
        command=[*_java_command(java, class_path, node.heap_mib), "kafka.Kafka", str(properties)],
        log=log,
        is_ready=lambda: cluster_answers(node.bootstrap_servers, timeout_s=5.0),
        port=node.port,
        start_timeout_s=90.0,
        stop_timeout_s=20.0,
    )


def server_properties(node: KafkaNode, data: Path) -> dict[str, str]:
    """One node that is broker and controller, for a machine with little memory and few cores."""
    listeners = f"BROKER://{LOOPBACK}:{node.port},CONTROLLER://{LOOPBACK}:{node.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{node.controller_port}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # One node holds every copy.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Few internal partitions: the first consumer waits until they are all made.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        # The default, 128 MiB, would be a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
    }


def _java_command(java: JavaRuntime, class_path: str, heap_mib: int) -> list[str]:
    # The first compiler tier and the serial collector start sooner and leave the other core to the services.
    flags = [f"-Xmx{heap_mib}m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    if java.version >= 24:  # Kafka's own use of both is known; the warnings would only fill the log
        flags += ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
    return [java.path, *flags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path]


def format_once(
    node: KafkaNode, java: JavaRuntime, class_path: str, log: Path, timeout_s: float = FORMAT_TIMEOUT_S
) -> None:
    """Formats into a folder aside and renames it, so that a half formatted one is never started from.

    Raises StartFailed.
    """
    if (node.data / "meta.properties").is_file():
        return
    fresh = node.folder / "data.partial"
    shutil.rmtree(fresh, ignore_errors=True)  # an earlier try was killed
    properties = node.folder / "format.properties"
    _write_properties(properties, server_properties(node, fresh))
    storage_tool = [*_java_command(java, class_path, node.heap_mib), "kafka.tools.StorageTool"]
    with open_for_append(log) as output:
        try:
            done = subprocess.run(
                [*storage_tool, "format", "--standalone", "-t", _new_cluster_id(), "-c", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StartFailed(
                f"Kafka's folder {node.data} was not formatted within {timeout_s:g} s; see that this machine is not "
                f"busy with something else, and start again. Its log is {log}"
            ) from error
        except OSError as error:
            raise StartFailed(f"Java cannot be run: {java.path}: {error.strerror}; see `nightjar doctor`.") from error
    if done.returncode != 0:
        raise StartFailed(f"Kafka's folder {node.data} cannot be formatted; the reason is in {log}")
    fresh.rename(node.data)


def _new_cluster_id() -> str:
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not name.startswith("-"):  # it would be read as an option
            return name


def _write_properties(path: Path, properties: Mapping[str, str]) -> None:
    lines = (f"{key}={value}".replace("\\", "\\\\") for key, value in properties.items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
