"""What `nightjar doctor` says of a running system: a newcomer reads what is wrong and what to do."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy.embedded.ports import any_free
from services.adapters.kafka_admin import TopicSpec, ensure_topics, topic_specs
from services.cli.doctor.finding import Finding, failed
from services.cli.doctor.running import examine_running
from services.cli.doctor.serving import examine_servers
from services.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
AWAY = "127.0.0.1:1"
SERVERS = {"Recommendations", "Events over gRPC"}


def settings_of(home: Path, servers: str, redis_url: str) -> Settings:
    name = uuid.uuid4().hex
    topics = {f"{noun}_topic": f"{noun}-{name}" for noun in ("events", "items", "users")}
    return Settings.model_validate(
        {
            "home": home,
            "kafka": {"bootstrap_servers": servers, "consumer_group_prefix": name, **topics},
            "redis": {"url": redis_url},
        }
    )


def specs_of(settings: Settings) -> list[TopicSpec]:
    kafka = settings.kafka
    return topic_specs(kafka.events_topic, kafka.items_topic, kafka.users_topic, kafka.num_partitions)


def said(findings: list[Finding], name: str) -> str:
    return " | ".join(f"{each.detail} {each.remedy}" for each in findings if each.name == name)


def test_where_nothing_runs_one_line_says_how_to_start_it(tmp_path: Path) -> None:
    (finding,) = examine_running(Settings(home=tmp_path))
    assert "`nightjar up`" in finding.remedy
    assert not failed([finding]), "a machine on which nothing runs yet is not ill"


def test_a_way_in_that_nobody_works_on_is_told(kafka_servers: str, redis_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, kafka_servers, redis_url)
    ensure_topics(kafka_servers, specs_of(settings))
    findings = examine_running(settings)
    assert [each.name for each in findings if not each.ok and each.needed] == ["Way in"]
    assert "is `nightjar up` running?" in said(findings, "Way in")
    assert "all 6 are there; 4 writers can share the events" in said(findings, "Topics")
    assert "answers; version" in said(findings, "Redis")
    assert "listpack" not in said(findings, "Redis"), "the embedded server is set up as it should be"
    assert "none yet" in said(findings, "Event log")
    assert all(each.remedy and "\n" not in each.remedy for each in findings if not each.ok)
    assert not any(each.remedy for each in findings if each.ok)


def test_topics_made_wrong_are_told_with_the_setting(kafka_servers: str, redis_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, kafka_servers, redis_url)
    events, items, users, *dead = specs_of(settings)
    swapped = [TopicSpec(events.name, 4, {"cleanup.policy": "compact"}), TopicSpec(items.name, 1)]
    ensure_topics(kafka_servers, [*swapped, users, *dead[1:]])
    told = said(examine_running(settings), "Topics")
    assert f"{events.name} has cleanup.policy=compact Set cleanup.policy=delete" in told
    assert f"{items.name} has cleanup.policy=delete Set cleanup.policy=compact" in told
    assert f"{dead[0].name} is missing" in told


def test_each_part_that_is_away_is_told_and_the_others_are_looked_at(kafka_servers: str, tmp_path: Path) -> None:
    without_redis = settings_of(tmp_path, kafka_servers, f"redis://{AWAY}/0")
    ensure_topics(kafka_servers, specs_of(without_redis))
    findings = examine_running(without_redis)
    assert "does not answer" in said(findings, "Redis")
    assert "answers at" in said(findings, "Kafka")
    without_kafka = examine_running(settings_of(tmp_path, AWAY, f"redis://{AWAY}/0"))
    assert AWAY in said(without_kafka, "Kafka")
    assert "none yet" in said(without_kafka, "Event log")
    assert failed(without_kafka)


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, AWAY, f"redis://{AWAY}/0")
    (settings.log_folder / "_delta_log").mkdir(parents=True)
    (settings.log_folder / "_delta_log" / f"{0:020}.json").write_text("{broken")
    assert "cannot be read" in said(examine_running(settings), "Event log")


def test_a_log_that_cannot_be_read_is_not_kafkas_fault(kafka_servers: str, redis_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, kafka_servers, redis_url)
    ensure_topics(kafka_servers, specs_of(settings))
    (settings.log_folder / "_delta_log").mkdir(parents=True)
    (settings.log_folder / "_delta_log" / f"{0:020}.json").write_text("{broken")
    findings = examine_running(settings)
    assert {each.name for each in findings if not each.ok} - SERVERS == {"Way in", "Event log"}
    assert "not known while the event log cannot be read" in said(findings, "Way in")
    assert "answers at" in said(findings, "Kafka")


def test_a_missing_topic_and_an_absent_redis_are_told_once(kafka_servers: str, tmp_path: Path) -> None:
    """By the findings of their own, and not as a trouble of the way in again."""
    findings = examine_running(settings_of(tmp_path, kafka_servers, f"redis://{AWAY}/0"))
    assert "is missing" in said(findings, "Topics")
    assert "does not exist" not in said(findings, "Way in")
    assert "Redis" not in said(findings, "Way in")


def test_a_broken_state_file_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{broken")
    (finding,) = examine_running(Settings(home=tmp_path))
    assert "stack.json" in finding.remedy
    assert failed([finding])


@contextmanager
def worker(port: int, service: str, *, serving: bool) -> Iterator[None]:
    """One of those that share a port, with this health."""
    server, servicer = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 1)]), health.HealthServicer()
    status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    servicer.set(service, status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield
    server.stop(None).wait()


RECOMMENDER, EVENTS = "nightjar.v1.RecommenderService", "nightjar.v1.EventService"


def servers_of(serve: int, gateway: int) -> Settings:
    return Settings.model_validate({"serve": {"port": serve, "num_workers": 2}, "gateway": {"port": gateway}})


def test_servers_that_serve_are_told_with_their_address() -> None:
    serve, gateway = any_free(), any_free()
    with worker(serve, RECOMMENDER, serving=True), worker(gateway, EVENTS, serving=True):
        findings = list(examine_servers(servers_of(serve, gateway)))
    assert all(each.ok for each in findings)
    assert [each.detail for each in findings] == [f"served at 127.0.0.1:{port}" for port in (serve, gateway)]


def test_servers_that_wait_and_servers_that_are_away_are_told_apart() -> None:
    serve, gateway = any_free(), any_free()
    with worker(serve, RECOMMENDER, serving=False):
        waiting, away = examine_servers(servers_of(serve, gateway))
    assert "answers, but serves not" in waiting.detail
    assert "`nightjar train`" in waiting.remedy
    assert away.detail == f"nothing answers at 127.0.0.1:{gateway}"
    assert "NIGHTJAR_GATEWAY__HOST" in away.remedy
    assert failed([waiting])
    assert failed([away])


def test_one_worker_of_several_that_does_not_serve_is_found() -> None:
    """The kernel deals out connections; that sixteen go to one of two happens once in 30,000."""
    serve = any_free()
    with worker(serve, RECOMMENDER, serving=True), worker(serve, RECOMMENDER, serving=False):
        settings = Settings.model_validate({"serve": {"port": serve, "num_workers": 4}})
        recommendations, _ = examine_servers(settings)
    assert "serves not in every worker" in recommendations.detail


def test_a_server_that_nobody_named_may_be_elsewhere() -> None:
    unnamed = Settings.model_validate({"serve": {"num_workers": 1}})
    unreached = [each for each in examine_servers(unnamed) if not each.ok]
    assert not failed([each for each in unreached if "nothing answers" in each.detail])
