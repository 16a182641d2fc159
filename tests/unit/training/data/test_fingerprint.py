"""A dataset's fingerprint says whether there is the same to learn from."""

from dataclasses import replace

import numpy as np

from services.domain.ids import ItemId
from services.training.data.content import ItemContent
from services.training.data.dataset import Dataset


def test_it_is_the_same_for_the_same_data_and_another_for_any_change(planted: Dataset) -> None:
    sequences, validation = planted.sequences, planted.validation
    weights, targets = sequences.weights.copy(), validation.targets.copy()
    weights[-1], targets[0] = 2.0, targets[0] % 60 + 1
    features = {item_id: ["new"] for item_id in planted.vocabulary.item_ids[:2]}
    changed = [
        replace(planted, sequences=replace(sequences, weights=weights)),
        replace(planted, validation=replace(validation, targets=targets)),
        replace(planted, content=ItemContent.of(planted.vocabulary.item_ids, features)),
        replace(
            planted, vocabulary=replace(planted.vocabulary, item_ids=(ItemId("x"), *planted.vocabulary.item_ids[1:]))
        ),
    ]
    again = replace(planted, sequences=replace(sequences, items=np.array(sequences.items)))
    assert again.fingerprint() == planted.fingerprint()
    assert len({planted.fingerprint(), *(each.fingerprint() for each in changed)}) == 5
