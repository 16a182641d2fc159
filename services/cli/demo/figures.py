"""The demo's figures: measured while it runs, printed as a table and as one JSON object."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field


@dataclass
class Figures:
    """Filled in stage by stage; the field names are the keys of the JSON object."""

    dataset: str = ""
    events_sent: int = 0
    """Events of the data set, acknowledged by the broker."""
    events_logged: int = 0
    """Rows in the offline log once it had caught up with them."""
    events_dead: int = 0
    events_duplicate: int = 0
    users_online: int = 0
    """Users whose whole online history was compared with what was sent, and agreed."""
    send_events_per_s: float = 0.0
    model_version: str = ""
    ndcg_at_10: float = 0.0
    popularity_ndcg_at_10: float = 0.0
    ndcg_gain_ci: tuple[float, float] = (0.0, 0.0)
    recall_at_20: float = 0.0
    popularity_recall_at_20: float = 0.0
    holdout_events: int = 0
    changed_answer_ms: float = 0.0
    """Median over the live events, from before the produce call to the first answer in hand whose list is another one:
    the ids of its 50 best items, in their order; scores are not compared."""
    changed_answers_ms: list[float] = field(default_factory=list)
    swapped_to_version: str = ""
    swap_calls: int = 0
    swap_failures: int = 0
    wrong_version_replies: int = 0
    """Replies whose items are not those that the version they name gives for that user."""
    replies_by_version: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    """p50 and p99 of the calls under load, as the client saw them."""
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a stage's wall time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds[name] = round(time.perf_counter() - start, 2)

    def to_json(self) -> str:
        return json.dumps(asdict(self))
