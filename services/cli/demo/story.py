"""The demo's stages, in order: stack, events, training, gate, answers, live events, retraining, swap under load."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from deploy.embedded.foreground import signals_interrupt
from deploy.embedded.supervisor import Stack
from nightjar import EventProducer, RecommenderClient
from services.adapters.delta_log import DeltaEventLog
from services.adapters.kafka_cluster import group_lag
from services.bundle_wiring import open_bundles
from services.cli.datasets import Dataset, sending
from services.cli.demo import freshness
from services.cli.demo.expected import expected_answers, read_histories
from services.cli.demo.figures import Figures
from services.cli.demo.load import LoadReport, load_around
from services.cli.demo.screen import Screen
from services.cli.judging_run import figures_beside_champion
from services.cli.training_run import TrainingOutcome, run_training
from services.domain.errors import StartFailed, TrainingFailed
from services.domain.ids import ModelVersion, UserId
from services.domain.streams import Counts, Partition
from services.registry.promotion import gate_and_promote
from services.registry.wiring import gate_rules, open_notice, open_registry, open_rollout
from services.settings import Settings

K: Final = 10
SHOWN_USERS: Final = 3
PROBED_USERS: Final = 100
CATCH_UP_S: Final = 120.0
POLL_S: Final = 0.2  # larger: the bars jump; smaller: the polling takes time from the work


def run_story(
    settings: Settings, screen: Screen, make_dataset: Callable[[datetime], Dataset], load_s: float
) -> Figures:
    """Runs every stage; whatever ends it, Ctrl-C included, nothing is left running."""
    figures = Figures()
    # People watch: what they sent shall be in the log a second later, not after the ten that keep its files large.
    settings = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"commit_interval_s": 1.0})})
    with signals_interrupt(), Stack(settings) as stack:
        screen.heading(1, "Stack and data: Kafka, Redis, the writers, the gRPC service, the scheduler")
        with figures.stage("data"), screen.waiting("fetching the data"):
            dataset = make_dataset(datetime.now(UTC))
            screen.know(dataset)
        figures.dataset = dataset.name
        screen.say(f"{dataset.name}: {len(dataset.events):,} events, {len(dataset.items):,} items")
        with figures.stage("start"), screen.waiting("starting; the first time, Kafka's jars are fetched"):
            stack.start()
        screen.say(f"ready in {figures.stage_seconds['start']:.1f} s")
        screen.explain("Real servers on this machine, no stand-ins. The newest event is from just now.")
        _Story(stack.settings, screen, figures, dataset).tell(load_s)
        with screen.waiting("stopping"):
            stack.stop()
    return figures


class _Story:
    def __init__(self, settings: Settings, screen: Screen, figures: Figures, dataset: Dataset) -> None:
        self._settings = settings
        self._screen = screen
        self._figures = figures
        self._dataset = dataset
        self._target = f"{settings.serve.host}:{settings.serve.port}"
        self._event_log = DeltaEventLog(settings.log_folder)
        assert settings.kafka.bootstrap_servers is not None  # noqa: S101 - the stack has filled it in
        self._servers = settings.kafka.bootstrap_servers

    def tell(self, load_s: float) -> None:
        self._screen.heading(2, "Events: into Kafka in time order, and on into the log and users' histories")
        with self._figures.stage("events"):
            self._send_and_catch_up()
        self._screen.heading(3, "Training: a model from the log, and a gate before it may serve")
        with self._figures.stage("train"):
            first = self._train()
            self._judge(first)
        self._note_quality(first)
        self._screen.explain(
            f"It was tried on the newest {self._figures.holdout_events:,} events, kept from it, against offering what "
            "is popular. NDCG@10 is 1 when what a user chose next always leads the list of 10. Only a model that "
            "passes goes live."
        )
        with RecommenderClient(self._target) as client:
            self._screen.heading(4, "Serving: answers over gRPC, computed from each user's history")
            with self._figures.stage("serve"):
                client.wait_until_serving(60.0)
                self._show_answers(client)
            self._screen.explain(
                "Users are their histories, nothing else: one unseen in training is answered as well. What they "
                "consumed is left out; what they only viewed may come again."
            )
            self._screen.heading(5, "Live: one user acts three times, and each time the next answer is another")
            with self._figures.stage("live events"):
                self._live_events(client)
        self._screen.heading(6, "Tomorrow: training again with the newer events, and a swap under load")
        with self._figures.stage("train again"):
            second = self._train()
            with self._screen.waiting("judging it beside the one that serves"):
                registry = open_registry(self._settings)
                beside = figures_beside_champion(self._settings, registry, registry.get(second.version))
        with self._figures.stage("swap under load"):
            self._swap_under_load(first, second, beside, load_s)

    def _send_and_catch_up(self) -> None:
        figures, dataset = self._figures, self._dataset
        total = len(dataset.events)
        bars = {"produced to Kafka": total, "in the offline log": total, "in the online histories": total}
        with self._screen.bars(bars) as show, self._producer() as producer:
            start = time.perf_counter()
            figures.events_sent = sending.send(dataset, producer, lambda number: show("produced to Kafka", number))
            figures.send_events_per_s = round(total / (time.perf_counter() - start), 1)
            self._catch_up(total, show)
        counts = self._counts()
        figures.events_logged, figures.events_dead = self._event_log.num_events(), counts.dead
        figures.events_duplicate = counts.duplicate
        figures.users_online = self._compare_histories()
        self._screen.say(
            f"{total:,} produced, {figures.events_logged:,} logged, {counts.dead} dead, {counts.duplicate} duplicates; "
            f"the histories of {figures.users_online:,} users in Redis hold exactly what was sent"
        )
        self._screen.explain(
            "Nothing is lost or counted twice on the way. The log is what models learn from; the histories are what "
            "answers are computed from."
        )

    def _catch_up(self, total: int, show: Callable[[str, int], None]) -> None:
        """Waits until both writers have everything; raises StartFailed when they do not get there."""
        kafka = self._settings.kafka
        deadline = time.monotonic() + CATCH_UP_S
        logged = online = 0
        while logged < total or online < total:
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"After {CATCH_UP_S:.0f} s only {logged:,} of {total:,} events are logged and {online:,} online; "
                    f"see the logs in {self._settings.home_folder / 'logs'}."
                )
            logged = self._counts().read
            online = total - group_lag(self._servers, f"{kafka.consumer_group_prefix}-online", kafka.events_topic)
            show("in the offline log", self._event_log.num_events())
            show("in the online histories", online)
            time.sleep(POLL_S)

    def _counts(self) -> Counts:
        kafka = self._settings.kafka
        partitions = [Partition(kafka.events_topic, number) for number in range(kafka.num_partitions)]
        stored = self._event_log.progress(partitions)
        return sum((progress.counts for progress in stored.values()), Counts())

    def _compare_histories(self) -> int:
        """Reads every user's online history and compares it with what was sent; returns the number of users."""
        types = self._settings.declared_event_types()
        sent: dict[UserId, list[tuple[int, str, str]]] = {}
        for event in self._dataset.events:
            kind = types.get(event.event_type)
            if kind is not None and kind.enters_history:
                sent.setdefault(event.user_id, []).append((event.event_time_us, event.event_id, event.item_id))
        stored = asyncio.run(read_histories(self._redis_url(), list(sent)))
        for user_id, events in sent.items():
            expected = sorted(events)[-self._settings.redis.max_history :]
            found = [(entry.event_time_us, entry.event_id, entry.item_id) for entry in stored[user_id].entries]
            if found != expected:
                raise StartFailed(f"The online history of user {user_id} differs from what was sent; see online.log.")
        return len(sent)

    def _train(self) -> TrainingOutcome:
        with self._screen.waiting("training") as show:
            outcome = run_training(self._settings, lambda progress: show(progress.sentence))
        self._screen.say(f"model {outcome.version} in {outcome.wall_s:.0f} s")
        return outcome

    def _judge(self, outcome: TrainingOutcome, figures: Mapping[str, float] | None = None) -> None:
        """The gate, and with its consent the promotion that every worker follows."""
        verdict = gate_and_promote(
            open_registry(self._settings),
            open_notice(self._settings),
            outcome.version,
            gate_rules(self._settings),
            "demo",
            figures=figures,
            rollout=open_rollout(self._settings),
        )
        for finding in verdict.findings:
            self._screen.say(f"{'[green]✓[/]' if finding.passed else '[red]✗[/]'} {finding.sentence}")
        if not verdict.passed:
            raise TrainingFailed(f"The gate refused model {outcome.version}; nothing that did not pass goes live.")

    def _note_quality(self, outcome: TrainingOutcome) -> None:
        figures, metrics = self._figures, outcome.metrics
        figures.model_version = outcome.version
        figures.ndcg_at_10 = metrics["ndcg_at_10"]
        figures.popularity_ndcg_at_10 = metrics["popularity_ndcg_at_10"]
        figures.ndcg_gain_ci = (metrics["ndcg_gain_at_10_low"], metrics["ndcg_gain_at_10_high"])
        figures.recall_at_20 = metrics["recall_at_20"]
        figures.popularity_recall_at_20 = metrics["popularity_recall_at_20"]
        figures.holdout_events = int(metrics["num_holdout_events"])

    def _show_answers(self, client: RecommenderClient) -> None:
        for user_id in self._lively_users()[:SHOWN_USERS]:
            chosen = [event.item_id for event in self._dataset.events if event.user_id == user_id][::-1]
            self._screen.recommendations(user_id, chosen, client.recommend(user_id, K))

    def _live_events(self, client: RecommenderClient) -> None:
        user_id = self._lively_users()[SHOWN_USERS]
        items = freshness.choose_items(self._dataset.items, self._dataset.events, user_id)
        with self._producer() as producer:
            seen = freshness.measure(
                producer.send,
                lambda k: client.recommend(user_id, k),
                user_id,
                items,
                self._dataset.events[-1].event_type,
                K,
            )
        self._figures.changed_answers_ms = list(seen.changed_ms)
        self._figures.changed_answer_ms = sorted(seen.changed_ms)[len(seen.changed_ms) // 2]
        self._screen.freshness(seen)
        self._screen.explain(
            "Time from before the event is produced to an answer in hand whose 50 best items are others or in another "
            "order. Nothing was trained in between: only the model's input moved."
        )

    def _swap_under_load(
        self, first: TrainingOutcome, second: TrainingOutcome, beside: Mapping[str, float], load_s: float
    ) -> None:
        users = self._lively_users()[:PROBED_USERS]
        store = open_bundles(self._settings)
        bundles = [store.fetch(version) for version in (first.version, second.version)]

        async def run() -> LoadReport:
            histories = await read_histories(self._redis_url(), users)
            answers = await asyncio.to_thread(expected_answers, bundles, histories, K)
            swap = lambda: asyncio.to_thread(self._judge, second, beside)  # noqa: E731
            return await load_around(self._target, users, K, answers, ModelVersion(second.version), swap, load_s)

        report = asyncio.run(run())
        figures = self._figures
        figures.swapped_to_version = second.version
        figures.swap_calls, figures.swap_failures = report.calls, report.failures
        figures.wrong_version_replies = report.wrong
        figures.replies_by_version = dict(sorted(report.by_version.items()))
        figures.latency_ms = {"p50": round(report.percentile_ms(50), 2), "p99": round(report.percentile_ms(99), 2)}
        self._screen.say(
            f"{report.calls:,} calls through the swap: {report.failures} failed, {report.wrong} of a wrong version"
        )
        self._screen.explain(
            "Callers kept asking while the new model took over. Each reply was compared with what the version that it "
            "names must answer that user."
        )

    def _lively_users(self) -> Sequence[UserId]:
        """Users of middling activity, the most recent first: enough history to be known, enough left to offer."""
        activity = Counter(event.user_id for event in self._dataset.events)
        last_seen = {event.user_id: event.event_time_us for event in self._dataset.events}
        lively = [user_id for user_id, number in activity.items() if 20 <= number <= 150]
        if len(lively) <= SHOWN_USERS:
            lively = list(activity)
        return sorted(lively, key=lambda user_id: (-last_seen[user_id], user_id))

    def _producer(self) -> EventProducer:
        kafka = self._settings.kafka
        return EventProducer(self._servers, events_topic=kafka.events_topic, items_topic=kafka.items_topic)

    def _redis_url(self) -> str:
        url = self._settings.redis.url
        assert url is not None  # noqa: S101 - the stack has filled it in
        return url.get_secret_value()
