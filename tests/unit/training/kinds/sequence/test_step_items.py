"""What a step gets of the items it asks for is what it would get of all, and so are the gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from services.training.data.content import ItemContent
from services.training.data.dataset import Dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.network import ItemTable, NetworkShape
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.step_items import StepItems
from services.training.workers import Workers

NUM_ITEMS = 60
FEATURES = {f"{item}": [f"of {item % 7}", f"of {item % 3}"] for item in range(0, NUM_ITEMS, 2)}
ASKED = (torch.tensor([[5, 9, 0], [7, 5, 2]]), torch.tensor([9, 58]), torch.tensor([0, 0]))


def table(*, with_content: bool = True) -> ItemTable:
    torch.manual_seed(1)
    ids = [f"{item}" for item in range(NUM_ITEMS)]
    content = ItemContent.of(ids, FEATURES) if with_content else ItemContent.nothing(NUM_ITEMS)  # type: ignore[arg-type]
    made = ItemTable(NetworkShape(NUM_ITEMS, 1, content.num_features, 8, 1, 1, 4), content)
    with torch.no_grad():
        made.is_known[[0, 9]] = 0.0
    return made


def loss(vectors: Tensor, rows: list[Tensor]) -> Tensor:
    return sum((vectors[part] ** 3).sum() * (place + 1) for place, part in enumerate(rows))  # type: ignore[return-value]


@pytest.mark.parametrize("with_content", [True, False])
def test_some_items_have_the_vectors_and_gradients_that_they_have_among_all(*, with_content: bool) -> None:
    """Items with features and without, one that nobody chose, and the row that pads."""
    few, all_of_them = table(with_content=with_content), table(with_content=with_content)
    vectors, rows = StepItems(few, 12, Workers(), shard=False).vectors(*ASKED)
    assert len(vectors) == 6  # the distinct ones
    loss(vectors, rows).backward()  # type: ignore[no-untyped-call]
    loss(all_of_them(), list(ASKED)).backward()  # type: ignore[no-untyped-call]
    for part, asked in zip(rows, ASKED, strict=True):
        torch.testing.assert_close(vectors[part], all_of_them()[asked])
    torch.testing.assert_close(few.ids.weight.grad, all_of_them.ids.weight.grad)
    if with_content:
        torch.testing.assert_close(few.content.weight.grad, all_of_them.content.weight.grad)


def test_rows_of_a_delayed_table_have_the_same_vectors() -> None:
    delayed = table()
    wanted = delayed().detach()
    items = StepItems(delayed, 12, Workers(), shard=True)
    vectors, rows = items.vectors(*ASKED)
    assert len(items.delayed) == 1  # ten features are few
    for part, asked in zip(rows, ASKED, strict=True):
        torch.testing.assert_close(vectors[part], wanted[asked])


def test_many_features_are_delayed_too() -> None:
    ids = [f"{item}" for item in range(NUM_ITEMS)]
    content = ItemContent.of(ids, {item: [f"{int(item) // 2}"] for item in ids})  # type: ignore[misc, arg-type]
    made = ItemTable(NetworkShape(NUM_ITEMS, 1, content.num_features, 8, 1, 1, 4), content)
    wanted = made().detach()
    items = StepItems(made, 2, Workers(), shard=None)
    vectors, (rows,) = items.vectors(torch.tensor([3, 4]))
    assert len(items.delayed) == 2
    torch.testing.assert_close(vectors[rows], wanted[[3, 4]])


def test_a_small_catalogue_is_not_delayed_unless_it_is_said() -> None:
    assert not StepItems(table(), 12, Workers(), shard=None).delayed
    assert StepItems(table(), 5, Workers(), shard=None).delayed
    assert not StepItems(table(), 5, Workers(), shard=False).delayed


def test_a_fit_with_delayed_tables_ends_where_a_dense_one_does(planted: Dataset, options: EncoderOptions) -> None:
    """With all that is random: both draw the same. To rounding, which epochs of Adam make larger."""
    noisy = replace(options, dropout=0.1, input_dropout=0.2, num_negatives=5, max_epochs=3)
    models = [SequenceEncoder(replace(noisy, shard_items=shard)) for shard in (False, True)]
    for model in models:
        model.fit(planted, lambda _: None)
    dense, delayed = (model.item_vectors() for model in models)
    assert np.abs(delayed - dense).max() < 5e-3
