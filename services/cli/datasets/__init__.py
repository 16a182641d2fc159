"""Sample data: MovieLens-100K (fetched, never kept in the repository) and a generator with planted tastes."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from services.cli.datasets import movielens
from services.cli.datasets.dataset import Dataset
from services.cli.datasets.synthetic import synthetic


class DatasetName(StrEnum):
    """What `--dataset` may say."""

    ML_100K = "ml-100k"
    SYNTHETIC = "synthetic"


def load(name: DatasetName, *, cache_folder: Path, now: datetime) -> Dataset:
    """A data set whose last event is at `now`; raises DatasetUnavailable when it cannot be fetched."""
    if name is DatasetName.ML_100K:
        return movielens.load(cache_folder, now)
    return synthetic(now=now)


__all__ = ["Dataset", "DatasetName", "load", "synthetic"]
