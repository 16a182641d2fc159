"""Whether the two gRPC servers answer: recommendations on their way out, events on their way in."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.addresses import target_of
from services.cli.doctor.finding import Finding
from services.settings import GatewaySettings, ServeSettings, Settings

TIMEOUT_S: Final = 2.0  # for each look; larger: a doctor who takes long; smaller: a busy server looks dead
LOOKS_A_WORKER: Final = 4  # the kernel chooses who takes a connection; smaller: a worker is more often passed over
MAX_LOOKS: Final = 64  # larger: a doctor who takes long; smaller: as above, where there are many workers
OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
SILENT: Final = "silent"


def examine_servers(settings: Settings) -> Iterator[Finding]:
    """Asks for their health; workers that share a port are met by several connections."""
    yield _examined(
        "Recommendations",
        settings.serve,
        _looks(
            target_of(settings.serve),
            "nightjar.v1.RecommenderService",
            min(LOOKS_A_WORKER * settings.serve.num_workers, MAX_LOOKS),
        ),
        "There is no model yet, or it cannot be loaded: `nightjar models list` shows them, `nightjar train` makes one.",
    )
    yield _examined(
        "Events over gRPC",
        settings.gateway,
        _looks(target_of(settings.gateway), "nightjar.v1.EventService", 1),
        "The gateway does not reach Kafka, or is stopping: its log says which.",
    )


def _examined(name: str, server: ServeSettings | GatewaySettings, looks: Counter[str], remedy: str) -> Finding:
    target, num_looks = target_of(server), looks.total()
    if looks["SERVING"] == num_looks:
        return Finding(name, True, f"served at {target}")
    if looks[SILENT] == num_looks:
        section = "NIGHTJAR_SERVE" if isinstance(server, ServeSettings) else "NIGHTJAR_GATEWAY"
        elsewhere = f"`nightjar status` says whether it runs; where it runs elsewhere, set {section}__HOST and __PORT."
        # Named by neither a stack nor the operator, it may be on another machine, or nowhere on purpose.
        is_named = not server.model_fields_set.isdisjoint({"host", "port"})
        return Finding(name, False, f"nothing answers at {target}", elsewhere, needed=is_named)
    if looks[SILENT]:
        detail = f"one of {num_looks} connections to {target} got no answer"
        return Finding(name, False, detail, "One of its workers is stuck or just starting: its log says which.")
    waiting = "not" if not looks["SERVING"] else "not in every worker"
    return Finding(name, False, f"{target} answers, but serves {waiting}", remedy)


def _looks(target: str, service: str, num_looks: int) -> Counter[str]:
    """What each of so many connections heard, up to the first that heard nothing: a health, or SILENT."""
    heard: Counter[str] = Counter()
    while heard.total() < num_looks and not heard[SILENT]:
        heard[_health(target, service)] += 1
    return heard


def _health(target: str, service: str) -> str:
    with grpc.insecure_channel(target, options=OWN_CONNECTION) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs lack the methods
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S).status
        except grpc.RpcError:
            return SILENT
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
