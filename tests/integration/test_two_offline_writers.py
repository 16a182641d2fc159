"""Two offline writers of one group, and event ids that reach both: by two partitions, whose writers share no memory."""

import contextlib
from pathlib import Path

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.domain.streams import Counts, Partition
from tests.integration.pipeline import Pipeline, user_event
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

DAY_US = 86_400_000_000
NUM_EVENTS = 600
SENT_TOGETHER = 60


def test_an_id_that_reaches_two_writers_is_stored_once_and_counted_as_a_duplicate(
    kafka_servers: str, redis_url: str, tmp_path: Path
) -> None:
    """As when a retry has another key, or another client's partitioner. Commits of both come close together."""
    pipeline = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    pipeline.environment["NIGHTJAR_INGEST__COMMIT_INTERVAL_S"] = "0.1"
    with contextlib.ExitStack() as stack:
        stack.callback(pipeline.producer.close)
        logs = [tmp_path / "first.log", tmp_path / "second.log"]
        for path in logs:
            stack.enter_context(pipeline.writer("offline", stack.enter_context(path.open("w"))))
        wait_until(
            lambda: all(_owns_one(path, pipeline.topic) for path in logs), timeout_s=60, what="a partition for each"
        )
        for start in range(0, NUM_EVENTS, SENT_TOGETHER):
            for number in range(start, start + SENT_TOGETHER):
                for partition in (0, 1):
                    pipeline.producer.send(
                        pipeline.topic,
                        partition=partition,
                        value=user_event(number, "ada", f"i{number}"),
                        headers=[("content-type", b"application/x-protobuf")],
                    )
            pipeline.producer.flush()
            sent = 2 * (start + SENT_TOGETHER)
            wait_until(lambda sent=sent: pipeline.counts().read == sent, timeout_s=60, what=f"{sent} records")  # type: ignore[misc]
    assert pipeline.counts() == Counts(2 * NUM_EVENTS, logged=NUM_EVENTS, duplicate=NUM_EVENTS)
    stored = pipeline.log().progress([Partition(pipeline.topic, 0), Partition(pipeline.topic, 1)])
    assert all(each.counts.logged > 0 for each in stored.values())
    ids = [each for batch, _ in DeltaEventLog(pipeline.settings.log_folder).recent_ids(365 * DAY_US) for each in batch]
    assert len(ids) == len(set(ids)) == NUM_EVENTS


def _owns_one(log_file: Path, topic: str) -> bool:
    """Whether the writer was last given one partition."""
    given = [line for line in log_file.read_text().splitlines() if "partitions_assigned" in line]
    return bool(given) and given[-1].count(f"{topic}/") == 1
