"""What it gains to encode several histories of one length at once, and whether the answers stay the same to the bit.

`python -m benchmarks.encode_together`: the encoder's graph as it is published (2 blocks, dimension 64, 3,706 items,
random weights), in ONNX Runtime on one thread as serving runs it, for histories of length 10 and 50 and groups of 1 to
32. Microseconds of the thread a history, the least of several rounds: what a busy machine adds is not the encoder's.
Prints a table and a JSON line. Serving encodes one at a time, see docs/experiments.md.
"""

import json
import time
from typing import Any, Final

import numpy as np
import onnxruntime
import torch

from services.domain.history_input import NUM_GAP_ROWS
from services.training.data.content import ItemContent
from services.training.kinds.sequence.graph import encoder_graph
from services.training.kinds.sequence.network import Dropouts, EncoderNetwork, NetworkShape

NUM_ITEMS: Final = 3_706
MAX_HISTORY: Final = 50
NUM_TYPES: Final = 4
GROUPS: Final = (1, 2, 4, 8, 16, 32)
NUM_HISTORIES: Final = 96  # divided by each group
NUM_ROUNDS: Final = 15


def encoder() -> onnxruntime.InferenceSession:
    torch.manual_seed(1)
    content = ItemContent((), np.empty(0, np.int64), np.zeros(NUM_ITEMS + 1, np.int64), np.empty((NUM_ITEMS, 0), "f4"))
    shape = NetworkShape(NUM_ITEMS, NUM_TYPES, 0, 64, 2, 2, MAX_HISTORY)
    network = EncoderNetwork(shape, Dropouts(0.0, 0.0), content).eval()
    with torch.no_grad():
        graph = encoder_graph(network, network.item_table())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(session: onnxruntime.InferenceSession, length: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    feeds = {
        "items": random.integers(1, NUM_ITEMS + 1, (NUM_HISTORIES, length)),
        "event_types": random.integers(1, NUM_TYPES + 1, (NUM_HISTORIES, length)),
        "gaps": random.integers(0, NUM_GAP_ROWS, (NUM_HISTORIES, length)),
    }
    alone, rows = np.empty(0), []
    for together in GROUPS:
        taken_s = []
        for _ in range(NUM_ROUNDS):
            start = time.thread_time()
            parts = [
                session.run(["user_vectors"], {name: feed[at : at + together] for name, feed in feeds.items()})[0]
                for at in range(0, NUM_HISTORIES, together)
            ]
            taken_s.append(time.thread_time() - start)
        vectors = np.concatenate(parts)
        alone = vectors if together == 1 else alone
        equal = float((vectors == alone).all(axis=1).mean())
        us = 1e6 * min(taken_s) / NUM_HISTORIES
        rows.append({"length": length, "together": together, "us_each": round(us, 1), "equal_to_the_bit": equal})
    return rows


def main() -> None:
    session = encoder()
    rows = [row for length in (10, MAX_HISTORY) for row in measure(session, length)]
    print("length  together  us each  equal to the bit")
    for row in rows:
        print(f"{row['length']:6}  {row['together']:8}  {row['us_each']:7}  {row['equal_to_the_bit']:16.0%}")
    print(json.dumps({"encode_together": rows}))


if __name__ == "__main__":
    main()
