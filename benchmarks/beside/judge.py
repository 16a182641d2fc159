"""How well kept user and item vectors foretell what was held out, by the metrics of our evaluator; a child."""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.beside.events import Events
from services.training.evaluation.metrics import Judged
from services.training.evaluation.ranking import LIST_LENGTH, top_lists

BATCH = 512  # users. Larger: more memory; smaller: slower


def judged(learned: Events, held_out: Events, vectors: Path) -> Judged:
    """Lists of all users with something held out; what a user has learned of is masked."""
    with np.load(vectors) as stored:
        users, items = stored["users"], stored["items"]
    asked = np.unique(held_out.users)
    starts, held_starts = learned.starts, held_out.starts
    relevant = np.zeros((len(asked), LIST_LENGTH), np.bool_)
    for first in range(0, len(asked), BATCH):
        batch = asked[first : first + BATCH]
        scores = users[batch] @ items.T  # (batch, num_items)
        for line, user in enumerate(batch):
            scores[line, learned.items[starts[user] : starts[user + 1]]] = -np.inf
        for line, (user, listed) in enumerate(zip(batch, top_lists(scores, LIST_LENGTH), strict=True)):
            relevant[first + line] = np.isin(listed, held_out.items[held_starts[user] : held_starts[user + 1]])
    return Judged(relevant, np.diff(held_starts)[asked], asked.astype(np.int64))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("learned", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("vectors", nargs="+", type=Path)
    arguments = parser.parse_args()
    learned, held_out, found = Events.load(arguments.learned), Events.load(arguments.held_out), {}
    for path in arguments.vectors:
        lists = judged(learned, held_out, path)
        found[path.stem] = {
            "ndcg_at_10": round(float(lists.ndcg(10).mean()), 5),
            "recall_at_20": round(float(lists.recall(20).mean()), 5),
        }
    print(json.dumps(found))
