"""Tonight's network from an earlier one: what both know is copied, what is new is placed by its company.

Items that are gone leave no trace. An item that is new has its content's vector at once, since features are shared; its
own part starts as the mean of those of the items it stood near. Then only what happened since is learned, and as much
of what was known before, drawn evenly, so that it is not forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from services.training.data.dataset import Dataset, TrainingSequences
from services.training.kinds.sequence.first_vectors import company
from services.training.kinds.sequence.network import EncoderNetwork

REHEARSED: Final = 1.0  # old targets for each new one. Larger: slower; smaller: what is rare now is forgotten

IDS: Final = "item_table.ids.weight"
CONTENT: Final = "item_table.content.weight"
TEXTS: Final = "item_table.of_text.weight"
TYPES: Final = "types.weight"


def transplant(
    network: EncoderNetwork,
    dataset: Dataset,
    earlier: Mapping[str, Tensor],
    item_ids: Sequence[str],
    type_labels: Sequence[str],
    features: Sequence[str],
    *,
    same_texts: bool,
) -> None:
    """Copies an earlier network's tensors into a new one, row by row where rows mean words.

    item_ids, type_labels, features: the earlier network's words in the order of their rows, from 1. What is new keeps
    the random start it has in `network`, but items, see above. same_texts: whether the vectors of texts mean the same.
    """
    words = dataset.vocabulary
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name in earlier and name not in (IDS, CONTENT, TYPES) and not name.startswith("item_table."):
                tensor.copy_(earlier[name])
        table = network.item_table
        known = _copy_rows(table.ids.weight, words.item_ids, earlier[IDS], item_ids)
        _copy_rows(table.content.weight, dataset.content.names, earlier[CONTENT], features)
        if table.of_text is not None and same_texts and TEXTS in earlier:
            table.of_text.weight.copy_(earlier[TEXTS])
        _copy_rows(network.types.weight, words.event_type_labels, earlier[TYPES], type_labels)
        near = company(dataset.sequences, dataset.num_items + 1)
        placed = torch.sparse.mm(near, table.ids.weight * known[:, None])  # (num_items + 1, dim)
        weight = torch.sparse.mm(near, known[:, None].float())
        is_placed = ~known & (weight[:, 0] > 0)
        table.ids.weight[is_placed] = (placed / weight.clamp(min=1e-12))[is_placed]


def since(sequences: TrainingSequences, start_us: int, random: np.random.Generator) -> TrainingSequences:
    """The same events, asked for those from a moment on, and for some of those before."""
    is_new = sequences.times_us[sequences.wanted] >= start_us
    old = np.flatnonzero(~is_new)
    num_old = min(len(old), int(REHEARSED * np.count_nonzero(is_new)))
    chosen = np.sort(np.concatenate((np.flatnonzero(is_new), random.choice(old, num_old, replace=False))))
    return replace(sequences, asked=sequences.asked[chosen], wanted=sequences.wanted[chosen])


def _copy_rows(into: Tensor, words: Sequence[str], source: Tensor, source_words: Sequence[str]) -> Tensor:
    """Copies the rows of the words that both have, which count from 1; returns which rows they are, bool (rows,)."""
    row_of = {word: row for row, word in enumerate(source_words, start=1)}
    pairs = [(row, row_of[word]) for row, word in enumerate(words, start=1) if word in row_of]
    is_copied = torch.zeros(len(into), dtype=torch.bool)
    if pairs:
        rows, sources = (torch.tensor(column) for column in zip(*pairs, strict=True))
        into[rows] = source[sources]
        is_copied[rows] = True
    return is_copied
