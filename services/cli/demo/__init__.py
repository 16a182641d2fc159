"""`nightjar demo`: the main job, end to end, on real components, with every figure measured."""

from datetime import datetime
from typing import Annotated

import typer

from services.cli.datasets import Dataset, DatasetName, movielens, synthetic
from services.cli.datasets.synthetic import size_problem
from services.domain.errors import InvalidRequest


def demo(
    dataset: Annotated[
        DatasetName, typer.Option(help="ml-100k: 100,000 real ratings, fetched once; synthetic: made on the spot.")
    ] = DatasetName.ML_100K,
    events: Annotated[int, typer.Option(min=2_000, max=1_000_000, help="Events of the synthetic data set.")] = 100_000,
    users: Annotated[int, typer.Option(min=50, max=100_000, help="Users of the synthetic data set.")] = 1_000,
    items: Annotated[int, typer.Option(min=50, max=100_000, help="Items of the synthetic data set.")] = 1_500,
    load_s: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds of load before and after the swap, each.")
    ] = 2.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print the figures as one JSON line, the last on stdout.")
    ] = False,
) -> None:
    """See everything at once: real events become recommendations, and a model is swapped under load.

    Example: `nightjar demo`, about three minutes on two cores. It starts its own Kafka and Redis in NIGHTJAR_HOME
    (default .nightjar), which afterwards holds the trained models: `nightjar up`, then `nightjar recommend 42`.
    A home that holds data of your own is never touched; after a `nightjar up` there, the demo's is your own.
    """
    from services import logs, settings
    from services.cli.demo.home import prepare_home
    from services.cli.demo.quick import quick
    from services.cli.demo.screen import Screen
    from services.cli.demo.story import run_story

    problem = size_problem(users, items, events) if dataset is DatasetName.SYNTHETIC else None
    if problem is not None:
        raise InvalidRequest("--events", problem)
    loaded = quick(settings.load())
    logs.configure("error", "demo")  # the screen tells the story; each part's own log is in the home
    screen = Screen(human_output_on_stderr=json)

    def make_dataset(now: datetime) -> Dataset:
        if dataset is DatasetName.ML_100K:
            return movielens.load(loaded.cache_folder, now)
        return synthetic(users, items, events, now=now)

    prepare_home(loaded)
    figures = run_story(loaded, screen, make_dataset, load_s)
    screen.summary(figures, loaded.home_folder)
    if json:
        typer.echo(figures.to_json())
