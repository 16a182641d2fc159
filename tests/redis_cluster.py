"""A Redis Cluster of three real nodes, without replicas, for the tests."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from tests.waiting import wait_until

NUM_NODES = 3
NUM_SLOTS = 16_384


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of one of its nodes; raises MissingDependency when there is no server to start."""
    server = valkey.find_server()
    with ExitStack() as running_nodes:
        nodes, buses = [], []
        for number in range(NUM_NODES):
            port, bus = any_free(), any_free()
            program = valkey.program(server, folder / str(number), port, folder / f"node-{number}.log")
            options = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
            running_nodes.enter_context(running(replace(program, command=[*program.command, *options])))
            nodes.append(redis.Redis(host=LOOPBACK, port=port))
            buses.append(bus)
        _join(nodes, buses)
        try:
            yield f"redis://{LOOPBACK}:{_port(nodes[0])}/0"
        finally:
            for node in nodes:
                node.close()


def move_slot(url: str, key: bytes) -> None:
    """Gives the slot of a key that does not exist to another node, as an operator does who reshards."""
    client: Any = redis.RedisCluster.from_url(url)
    slot, owner = client.keyslot(key), client.get_node_from_key(key)
    target = next(node for node in client.get_primaries() if node != owner)
    target_id = client.get_redis_connection(target).execute_command("CLUSTER", "MYID")
    for node in (target, owner):
        client.get_redis_connection(node).execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
    client.close()


def _join(nodes: list[Any], buses: list[int]) -> None:
    bounds = [NUM_SLOTS * number // NUM_NODES for number in range(NUM_NODES + 1)]
    for number, node in enumerate(nodes):
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            nodes[0].execute_command("CLUSTER", "MEET", LOOPBACK, _port(node), buses[number])
    wait_until(lambda: all(_is_whole(node) for node in nodes), timeout_s=30, what="a whole Cluster")


def _is_whole(node: Any) -> bool:
    found = node.execute_command("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in found and f"cluster_known_nodes:{NUM_NODES}" in found


def _port(node: Any) -> int:
    return int(node.get_connection_kwargs()["port"])
