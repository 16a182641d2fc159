"""Law 1 while everything around the writers moves: members come, go and freeze, the broker and Redis restart."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.embedded import kafka, kafka_jars
from deploy.embedded.java import find_java
from deploy.embedded.ports import any_free
from deploy.embedded.processes import running
from services.settings import Settings
from tests.integration.conservation import RedisServer, Stream, check_log, wait_until_redis_is_complete
from tests.integration.pipeline import Pipeline
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]


class Servers:
    """A Kafka and a Redis of the test's own, which it stops and starts."""

    def __init__(self, folder: Path) -> None:
        self._node = kafka.KafkaNode(folder / "kafka", any_free(), any_free(), heap_mib=384)
        self.redis = RedisServer(folder / "valkey")
        self.bootstrap_servers = self._node.bootstrap_servers

    @contextlib.contextmanager
    def broker(self) -> Iterator[None]:
        class_path = kafka_jars.class_path(Settings().cache_folder)
        with running(kafka.program(self._node, find_java(), class_path, self._node.folder / "kafka.log")):
            yield


class Group:
    """Writers of one kind that share a group; one that ended by itself is started again, as a supervisor would."""

    def __init__(self, pipeline: Pipeline, kind: str, log: Path) -> None:
        self._pipeline = pipeline
        self._kind = kind
        self._log = log
        self._stack = contextlib.ExitStack()
        self._members: list[subprocess.Popen[bytes]] = []
        self.num_ended = 0

    def join(self, log_file: Path | None = None) -> subprocess.Popen[bytes]:
        member = self._stack.enter_context(
            self._pipeline.writer(self._kind, self._stack.enter_context((log_file or self._log).open("a")))
        )
        self._members.append(member)
        return member

    def leave(self, member: subprocess.Popen[bytes]) -> None:
        member.send_signal(signal.SIGTERM)
        assert member.wait(timeout=30) == 0
        self._members.remove(member)

    def thaw_and_end(self, member: subprocess.Popen[bytes]) -> None:
        """Told to stop before it wakes, it tries to store what it had taken: refused, unless it sees its loss first."""
        member.send_signal(signal.SIGTERM)
        member.send_signal(signal.SIGCONT)
        assert member.wait(timeout=30) in (0, 1)
        self._members.remove(member)

    def revive(self) -> None:
        for member in list(self._members):
            if member.poll() is not None:
                self.num_ended += 1
                self._members.remove(member)
                self.join()

    def close(self) -> None:
        self._stack.close()


def test_members_that_come_go_and_freeze_and_servers_that_restart_lose_nothing(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(contextlib.ExitStack())
        broker.enter_context(servers.broker())
        store = stack.enter_context(contextlib.ExitStack())
        store.enter_context(servers.redis.running())
        pipeline = Pipeline(servers.bootstrap_servers, servers.redis.url, tmp_path / "home")
        stream = Stream(pipeline, seed=11)
        offline, online = (
            Group(pipeline, "offline", tmp_path / "offline.log"),
            Group(pipeline, "online", tmp_path / "online.log"),
        )
        stack.callback(pipeline.producer.close)
        stack.callback(online.close)
        stack.callback(offline.close)

        def all_read() -> bool:
            offline.revive()
            online.revive()
            return pipeline.counts().read == stream.num_records

        leaving, first = offline.join(), online.join()
        stream.send(100)
        wait_until(all_read, timeout_s=60, what="the first hundred")

        pipeline.environment["NIGHTJAR_INGEST__COMMIT_INTERVAL_S"] = "600"  # it takes records and stores none
        frozen = offline.join(tmp_path / "frozen.log")
        pipeline.environment["NIGHTJAR_INGEST__COMMIT_INTERVAL_S"] = "0.2"
        online.join()

        def has_taken_records() -> bool:
            offline.revive()
            stream.send(10)
            return "dead_letter" in (tmp_path / "frozen.log").read_text()

        wait_until(has_taken_records, timeout_s=60, what="records on the member that is to freeze")
        frozen.send_signal(signal.SIGSTOP)
        wait_until(all_read, timeout_s=90, what="what a frozen member had taken")
        offline.thaw_and_end(frozen)
        stream.send(100)
        wait_until(all_read, timeout_s=90, what="what came once it was back")
        offline.join()
        if leaving.poll() is None:
            offline.leave(leaving)

        redis.Redis.from_url(servers.redis.url).flushall()
        if first.poll() is None:
            online.leave(first)
        stream.send(50)
        store.close()
        stream.send(50)
        store.enter_context(servers.redis.running())
        wait_until(all_read, timeout_s=90, what="what came while Redis restarted")

        broker.close()
        broker.enter_context(servers.broker())
        stream.send(100)
        wait_until(all_read, timeout_s=120, what="what came after the broker's restart")
        wait_until_redis_is_complete(pipeline, stream)
        check_log(pipeline, stream)
