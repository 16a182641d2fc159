"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 users (GroupLens, 1998), from the sample in RecBole's wheel."""

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from services.cli.datasets.dataset import Dataset, microseconds
from services.cli.datasets.fetch import fetch
from services.domain.errors import DatasetUnavailable
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item

NAME: Final = "ml-100k"
REQUIREMENT: Final = "recbole==1.2.1"
INTERACTIONS: Final = "ml-100k.inter"
ITEMS: Final = "ml-100k.item"
FOLDER: Final = "recbole/dataset_example/ml-100k"
SHA256: Final = {
    f"{FOLDER}/{INTERACTIONS}": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    f"{FOLDER}/{ITEMS}": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
NUM_EVENTS: Final = 100_000
NUM_ITEMS: Final = 1_682


def load(cache_folder: Path, now: datetime) -> Dataset:
    """The ratings with their times moved so that the last is at `now`; fetched once into the cache folder.

    Raises DatasetUnavailable without a registry, or when the data is not what it was.
    """
    folder = fetch(REQUIREMENT, SHA256, cache_folder / NAME)
    dataset = read(folder, now)
    if (len(dataset.events), len(dataset.items)) != (NUM_EVENTS, NUM_ITEMS):
        raise DatasetUnavailable(
            f"{folder} holds {len(dataset.events)} ratings of {len(dataset.items)} films instead of {NUM_EVENTS} of "
            f"{NUM_ITEMS}; delete that folder and try again."
        )
    return dataset


def read(folder: Path, now: datetime) -> Dataset:
    """The data set in an unpacked folder. Ratings of one second keep the file's order, through their event ids."""
    rows = sorted(_rows(folder / INTERACTIONS), key=lambda row: float(row["timestamp"]))
    shift_us = microseconds(now) - round(float(rows[-1]["timestamp"]) * 1_000_000) if rows else 0
    events = [
        Interaction(
            event_id=EventId(f"{NAME}-{place:06d}"),
            user_id=UserId(row["user_id"]),
            item_id=ItemId(row["item_id"]),
            event_type="rating",
            event_time_us=round(float(row["timestamp"]) * 1_000_000) + shift_us,
            value=float(row["rating"]),
        )
        for place, row in enumerate(rows)
    ]
    return Dataset(NAME, events, [_item(row, now) for row in _rows(folder / ITEMS)])


def _item(row: dict[str, str], now: datetime) -> Item:
    return Item(
        item_id=ItemId(row["item_id"]),
        title=_in_reading_order(row["movie_title"]),
        categories=tuple(row["class"].split()),
        attributes={"release_year": row["release_year"]} if row["release_year"] else {},
        update_time_us=microseconds(now),
    )


def _in_reading_order(title: str) -> str:
    """`Usual Suspects, The` as people say it: `The Usual Suspects`."""
    name, comma, article = title.rpartition(", ")
    return (
        f"{article} {name}" if comma and article in {"The", "A", "An", "La", "Le", "Les", "Il", "Das", "Der"} else title
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a RecBole atomic file: tab-separated, each column's name followed by `:` and its type."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [column.partition(":")[0] for column in next(reader)]
        for values in reader:
            yield dict(zip(names, values, strict=True))
