"""The histogram of the hot path says what prometheus-client's own says."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from services.domain.metrics import STAGE_SECONDS
from services.rpc.histogram import LoopHistogram

BOUNDS = (0.001, 0.01, 0.5)
values = st.one_of(st.sampled_from([0.0, *BOUNDS]), st.floats(0, 2))


@given(st.lists(st.tuples(st.sampled_from(["store", "encode"]), values), max_size=30))
def test_it_is_scraped_like_the_librarys(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = LoopHistogram(STAGE_SECONDS, BOUNDS, ours)
    library = Histogram(
        STAGE_SECONDS.name, STAGE_SECONDS.meaning, STAGE_SECONDS.labels, registry=theirs, buckets=BOUNDS
    )
    for stage, seconds in observed:
        mine.observe(stage, seconds)
        library.labels(stage).observe(seconds)
    assert lines(ours) == lines(theirs)


def lines(registry: CollectorRegistry) -> list[str]:
    """Without the moments at which series were made, which ours does not tell."""
    text = generate_latest(registry).decode()
    return sorted(line for line in text.splitlines() if "_created" not in line)
