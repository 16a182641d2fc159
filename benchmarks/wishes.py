"""What each wish of a request costs: the time to work a list out, without network, history and cache.

`OMP_NUM_THREADS=1 python -m benchmarks.wishes --items 3700`: a bundle of random item vectors, facts of every item, ten
events a history, k = 20. Prints the median of each kind of request in microseconds, and a JSON line. `dpp` is the
alternative to maximal marginal relevance that ADR 0035 speaks of: greedy MAP inference of a determinantal point process
over the same pool (Chen, Zhang and Zhou, NeurIPS 2018).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.domain.ids import ItemId, UserId
from services.domain.items import Facts, Price
from services.domain.pages import MAX_DEPTH
from services.domain.recommendations import Degraded
from services.domain.wishes import NO_WISHES, Boost, Filter, MustInclude, Quota, Wishes
from services.inference.availability import Unavailable
from services.inference.candidates import OfModel
from services.inference.excluded import NO_ROWS, Rows, Vector
from services.inference.explaining import explained
from services.inference.facts import CatalogFacts
from services.inference.filter_flags import FilterFlags
from services.inference.listing import work_out
from services.inference.question import Question
from services.inference.retrieval import ItemIndex
from services.inference.serving_model import ServingModel, load_serving_model
from services.inference.wished import wished
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import item_vectors, write_bundle

DIM: Final = 64
K: Final = 20
CATEGORIES: Final = [f"category {number}" for number in range(18)]
FILTER: Final = Filter(any_categories=frozenset(CATEGORIES[:3]), min_price=Price("EUR", 5), max_price=Price("EUR", 50))
WISHES: Final[Mapping[str, Wishes]] = {
    "filter": Wishes(FILTER),
    "boost": Wishes(boosts=(Boost(2.0, category=CATEGORIES[0]),)),
    "must include": Wishes(must_include=(MustInclude(ItemId("item-7"), 3),)),
    "quota": Wishes(quotas=(Quota(3),)),
    "diversity": Wishes(diversity=0.3),
    "context": Wishes(context=(ItemId("item-9"),)),
    "page": Wishes(is_paged=True),
    "all": Wishes(FILTER, (Boost(2.0, category=CATEGORIES[0]),), (MustInclude(ItemId("item-7"), 3),), (Quota(9),), 0.3,
                  (ItemId("item-9"),), is_paged=True),
}  # fmt: skip


def facts_of(num_items: int) -> CatalogFacts:
    """Two categories, a brand and a price for each."""
    rng = np.random.default_rng(1)
    categories, brands = rng.integers(0, len(CATEGORIES), (num_items, 2)), rng.integers(0, 200, num_items)
    prices = rng.integers(1, 100, num_items)
    return CatalogFacts.empty().after(
        1,
        {
            ItemId(f"item-{place + 1}"): Facts(
                tuple(CATEGORIES[each] for each in categories[place]),
                {"brand": str(brands[place])},
                (),
                Price("EUR", int(prices[place])),
            )
            for place in range(num_items)
        },
    )


def median_us(work: Callable[[], Any], seconds: float = 1.5) -> float:
    took, end = list[float](), time.perf_counter() + seconds
    work()
    while time.perf_counter() < end or len(took) < 5:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return float(np.median(took)) * 1e6


def greedy_dpp(index: ItemIndex, rows: Rows, relevance: Vector, k: int) -> list[int]:
    """The positions that greedy MAP inference picks; the kernel is relevance_i * cosine_ij * relevance_j."""
    quality = np.exp(relevance - relevance.max())
    features = index.directions(rows) * quality[:, np.newaxis]
    gains = np.einsum("ij,ij->i", features, features).astype(np.float64)
    parts, picked = np.zeros((k, len(rows))), list[int]()
    for place in range(k):
        best = int(np.argmax(gains))
        picked.append(best)
        row = (features @ features[best] - parts[:place, best] @ parts[:place]) / np.sqrt(gains[best])
        parts[place] = row
        gains = gains - row**2
        gains[best] = -np.inf
    return picked


def measured(model: ServingModel, question: Question) -> dict[str, float]:
    plain = replace(question, wishes=NO_WISHES)
    found = {"plain": median_us(lambda: model.scored_items(*replace(plain).worked_out()))}
    for name, wishes in WISHES.items():
        asked = replace(question, wishes=wishes)
        found[name] = median_us(lambda asked=asked: wished(replace(asked), Degraded.NONE))  # type: ignore[misc]
    filtered = replace(question, wishes=WISHES["filter"])
    found["filter never asked before"] = median_us(
        lambda: wished(replace(filtered, facts=replace(question.facts, flags=FilterFlags())), Degraded.NONE)
    )
    answer, _ = wished(replace(question, wishes=WISHES["filter"]), Degraded.NONE)
    found["explain, ten events"] = median_us(lambda: explained(replace(filtered), answer))
    pool = work_out(replace(question, wishes=Wishes(is_paged=True), k=MAX_DEPTH), OfModel(model, question.history_rows))
    found["dpp, beside the pool"] = median_us(lambda: greedy_dpp(model.index, pool.rows, pool.scores, K))
    return found


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_bundle(Path(name) / "v1", "v1", vectors=item_vectors(0, options.items, DIM))
        model = load_serving_model(Path(name) / "v1")
    facts = facts_of(options.items).of_model(model)
    unavailable = Unavailable.of(NO_ROWS, np.zeros(options.items + 1, dtype=np.bool_))
    history = history_of(*(f"item-{number}" for number in range(1, 11)))
    question = Question(model, unavailable, UserId("ann"), history, K, wishes=Wishes(surface="home"), facts=facts)
    found = measured(model, question)
    for kind, microseconds in found.items():
        print(f"{kind:28} {microseconds:10,.0f} µs")
    print(json.dumps({"num_items": options.items, **{kind: round(each) for kind, each in found.items()}}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=3_700, help="how many items the model has")
    main(parser.parse_args())
