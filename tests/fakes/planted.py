"""Events with a planted structure: items live in clusters, and the next item follows from the last one."""

import numpy as np

from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction

NUM_CLUSTERS, CLUSTER_SIZE = 10, 6
START_US, GAP_US = 1_700_000_000_000_000, 1_000_000


def planted_events(num_users: int = 150, events_per_user: int = 40, seed: int = 7) -> list[Interaction]:
    """Each user walks within a cluster, from item i to i + 1 with probability 0.9, and sometimes changes cluster.

    All items are about equally popular, so popularity can know nothing; users interleave in time.
    """
    random = np.random.default_rng(seed)
    cluster, place = random.integers(NUM_CLUSTERS, size=num_users), random.integers(CLUSTER_SIZE, size=num_users)
    events = []
    for step in range(events_per_user):
        for user in range(num_users):
            if random.random() < 0.1:
                cluster[user] = random.integers(NUM_CLUSTERS)
            place[user] = (place[user] + 1) % CLUSTER_SIZE
            number = step * num_users + user
            events.append(
                Interaction(
                    event_id=EventId(f"event-{number:06d}"),
                    user_id=UserId(f"user-{user}"),
                    item_id=ItemId(f"item-{cluster[user]}-{place[user]}"),
                    event_type="view",
                    event_time_us=START_US + number * GAP_US,
                )
            )
    return events
