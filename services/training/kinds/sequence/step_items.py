"""The vectors of the items that a step is about: of all while there are few, else of those that are asked for."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from services.training.kinds.sequence.delayed import DelayedTable
from services.training.kinds.sequence.network import ItemTable
from services.training.workers import Workers

MANY_ROWS: Final = 10
"""For each that a step touches. Larger: rows are updated that nobody looks at; smaller: looking up which rows are meant
costs more than it saves. Measured in docs/experiments.md, 2026-11-25."""


class StepItems:
    """Gives a step its item vectors, and says which tables are delayed."""

    def __init__(self, table: ItemTable, rows_a_step: int, workers: Workers, *, shard: bool | None) -> None:
        """rows_a_step: the most items that a step asks for; shard: whether tables are delayed, None: where it pays."""
        self._table = table
        self._ids: DelayedTable | None = None
        self._features: DelayedTable | None = None
        num_items = len(table.ids.weight) - 1
        if is_large(num_items, rows_a_step) if shard is None else shard:
            self._ids = DelayedTable(table.ids.weight, workers)
            features_a_step = rows_a_step * len(table.features) // num_items
            if len(table.features) and is_large(len(table.content.weight), features_a_step):
                self._features = DelayedTable(table.content.weight, workers)

    @property
    def delayed(self) -> Sequence[DelayedTable]:
        return [table for table in (self._ids, self._features) if table is not None]

    def vectors(self, *asked: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Vectors, (n, dim), and for each tensor of item rows that was asked for, the same as rows of these.

        Row 0 stays row 0. Every worker calls it in every step.
        """
        if self._ids is None and sum(map(torch.numel, asked)) >= len(self._table.ids.weight):
            return self._table(), list(asked)
        flat = [asked[0].new_zeros(1), *(rows.reshape(-1) for rows in asked)]
        rows, places = torch.unique(torch.cat(flat), return_inverse=True)
        whole = self._table.ids.weight
        ids = functional.embedding(rows, whole) if self._ids is None else self._ids.take(rows)
        features, starts = self._table.bags(rows)
        of_features: Tensor = self._table.content.weight
        if self._features is not None:
            distinct, features = torch.unique(features, return_inverse=True)
            of_features = self._features.take(distinct)
        vectors = self._table.of_some(rows, ids, (features, starts), of_features)
        split = places[1:].split([rows.numel() for rows in asked])
        return vectors, [part.view_as(rows) for part, rows in zip(split, asked, strict=True)]


def is_large(num_rows: int, num_touched: int) -> bool:
    return num_rows > MANY_ROWS * num_touched
