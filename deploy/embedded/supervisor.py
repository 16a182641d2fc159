"""The embedded stack as one object: starts Kafka, Valkey and the services, keeps them running, stops them all.

Used by `nightjar up`, by the demo and by tests. What each process is made of is told in `kafka`, `valkey`, `services`.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

import structlog

from deploy.embedded import infrastructure, leftovers, lock, logfiles, processes, services, state
from deploy.embedded.processes import Child, Identity, Program
from deploy.embedded.restarts import RestartPlan
from deploy.embedded.state import Condition, Part, StackState
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.domain.errors import NotRunning, StartFailed
from services.settings import Settings

WATCH_S = 0.2  # larger: a death is seen later; smaller: idle CPU
TRIM_S = 5.0

log = structlog.get_logger()


class Stack:
    """One home's stack. Use as a context manager, so that nothing is left behind; not from several threads at once.

    `settings` are those given, with every address filled in from `open` on, which every start begins with.
    """

    def __init__(self, settings: Settings, programs: Mapping[str, Sequence[str]] = services.SERVICES) -> None:
        self.settings = settings
        self._programs = programs
        self._children: dict[str, Child] = {}
        self._conditions: dict[str, Condition] = {}
        self._restarts: dict[str, RestartPlan] = {}
        self._ports: Mapping[str, int] = {}
        self._lock: IO[str] | None = None
        self._migrated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def open(self) -> None:
        """Takes the home for this process, ends what an earlier stack left there, and chooses the ports.

        May be repeated. Raises StartFailed when another process has the home, PortInUse.
        """
        if self._lock is not None:
            return
        held = lock.hold(self._home)
        try:
            before = state.read(self._home)
            leftovers.end_all(before)
            self.settings, self._ports = infrastructure.addresses(self.settings, before.ports)
            self._write_state()
        except BaseException:
            held.close()
            raise
        self._lock = held

    def start(self) -> None:
        """Everything: infrastructure and database at the same time, then the topics, then the services."""
        with ThreadPoolExecutor(max_workers=1) as beside:
            self.open()
            migration = beside.submit(self.migrate)
            self.start_infrastructure()
            self.create_topics()
            migration.result()
        self.start_services()

    def start_infrastructure(self) -> None:
        """Starts Kafka and Valkey, unless the settings name others, and blocks until they answer.

        Raises StartFailed, PortInUse or MissingDependency. The first time, Kafka's jars are fetched.
        """
        self.open()
        started: list[Child] = []
        # Valkey is up long before Kafka's class path is even put together.
        if "valkey" in self._ports:
            started.append(self._spawn(infrastructure.valkey_program(self.settings, self._ports["valkey"])))
        if "kafka" in self._ports:
            ports = self._ports["kafka"], self._ports["kafka_controller"]
            started.append(self._spawn(infrastructure.kafka_program(self.settings, *ports)))
        processes.wait_until_ready(started, self._note_ready)

    def create_topics(self) -> None:
        """Creates the topics that are not there; raises BrokerDown."""
        kafka = self.settings.kafka
        if kafka.bootstrap_servers is None:
            raise NotRunning("Kafka has not been started yet; call start_infrastructure first.")
        specs = topic_specs(kafka.events_topic, kafka.items_topic, kafka.users_topic, kafka.num_partitions)
        created = ensure_topics(kafka.bootstrap_servers, specs)
        log.info("topics_ready", created=created)

    def migrate(self) -> None:
        """Brings the catalog database to the newest schema, once; raises CatalogDown."""
        from services.adapters.sql.migrate import upgrade  # Alembic is heavy, and only this needs it

        if not self._migrated:
            upgrade(self.settings.database_url)
            self._migrated = True

    def start_services(self, names: Sequence[str] | None = None) -> None:
        """Starts the named services (None: all of them) and blocks until each is ready; migrates the database first.

        Raises StartFailed naming the service that died or took too long, with the end of its log.
        """
        self.open()
        self.migrate()
        started = [
            self._spawn(services.program(name, self._programs[name], self.settings))
            for name in (self._programs if names is None else names)
        ]
        processes.wait_until_ready(started, self._note_ready)

    def stop(self) -> None:
        """Stops the services, then what they stand on. May be repeated; a second Ctrl-C cuts the waiting short."""
        if self._lock is None:
            return
        processes.settle()
        ours = list(self._children.values())
        try:
            processes.stop([child for child in ours if child.program.name in self._programs])
        finally:
            processes.stop([child for child in ours if child.program.name not in self._programs])
            self._children.clear()
            state.write(self._home, StackState(ports=self._ports))
            self._lock.close()
            self._lock = None

    def pid(self, name: str) -> int:
        """The process id of a part; raises NotRunning."""
        if name not in self._children:
            raise NotRunning(f"{name} is not running in this stack.")
        return self._children[name].identity.pid

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Blocks until the condition holds; starts again what dies, and keeps the logs within their bound."""
        trimmed_at = time.monotonic()
        while not until():
            self._restart_the_dead()
            if time.monotonic() - trimmed_at > TRIM_S:
                trimmed_at = time.monotonic()
                for path in self._home.glob("logs/*.log"):
                    logfiles.trim(path)
            time.sleep(WATCH_S)

    @property
    def logs(self) -> Mapping[str, Path]:
        """Where each part of a whole stack writes; known once it is open."""
        names = [name for name in ("kafka", "valkey") if name in self._ports]
        return {name: services.log_of(self.settings, name) for name in (*names, *self._programs)}

    @property
    def _home(self) -> Path:
        return self.settings.home_folder

    def _spawn(self, program: Program) -> Child:
        if program.name in self._children:
            raise StartFailed(f"{program.name} is already running in this stack.")
        child = processes.start(program, self._register)
        log.info("part_started", name=program.name, pid=child.identity.pid)
        return child

    def _register(self, child: Child) -> None:
        self._children[child.program.name] = child
        self._conditions[child.program.name] = "starting"
        self._write_state()

    def _note_ready(self, child: Child) -> None:
        self._conditions[child.program.name] = "running"
        self._write_state()
        log.info("part_ready", name=child.program.name, start_s=round(time.monotonic() - child.started_at, 2))

    def _restart_the_dead(self) -> None:
        now = time.monotonic()
        for name, child in tuple(self._children.items()):
            plan = self._restarts.setdefault(name, RestartPlan())
            if child.exit_status() is not None and plan.due_at is None:
                processes.stop([child])  # what is left of its group
                delay_s = plan.died(now, lived_s=now - child.started_at)
                self._conditions[name] = "restarting"
                self._write_state()
                log.warning("part_died", name=name, exit_status=child.exit_status(), restart_in_s=delay_s)
            elif plan.is_due(now):
                plan.started()
                restarted = processes.start(child.program, self._register)
                log.info("part_restarted", name=name, pid=restarted.identity.pid, num_restarts=plan.num_restarts)
            elif self._conditions[name] == "starting" and child.is_ready():
                self._note_ready(child)

    def _write_state(self) -> None:
        ours = self._ports
        redis_url = self.settings.redis.url
        state.write(
            self._home,
            StackState(
                supervisor=Identity.of(os.getpid()),
                bootstrap_servers=self.settings.kafka.bootstrap_servers,
                redis_url=redis_url.get_secret_value() if redis_url is not None and "valkey" in ours else None,
                serve_port=self.settings.serve.port,
                gateway_port=self.settings.gateway.port,
                ports=ours,
                parts=tuple(self._part(child) for child in tuple(self._children.values())),
            ),
        )

    def _part(self, child: Child) -> Part:
        name = child.program.name
        plan = self._restarts.get(name, RestartPlan())
        log_file = str(child.program.log)
        return Part(name, child.identity, self._conditions[name], child.program.port, log_file, plan.num_restarts)
