"""What the encoder is fitted by: a softmax over the catalogue while it is small, else over items drawn from it."""

import torch
from torch import Tensor
from torch.nn import functional


def next_item_losses(
    states: Tensor,
    item_vectors: Tensor,
    targets: Tensor,
    negatives: Tensor,
    disliked: Tensor,
    label_smoothing: float,
) -> Tensor:
    """Cross-entropy, nats, of each target against the negatives: (n,).

    states: (n, dim) user vectors over the temperature; item_vectors: (num_items + 1, dim); targets: (n,) item rows,
    from 1. negatives: (num_negatives,) item rows that all targets share; drawn evenly, they need no correction for how
    they were drawn. disliked: (n,) an item that the same user spoke against, 0 for none: a negative for this target
    alone. Sources: Jean et al., arXiv 1412.2007 (sampled softmax); Yi et al., RecSys 2019 (cosines over a temperature).
    """
    wanted = (states * functional.embedding(targets, item_vectors)).sum(dim=1, keepdim=True)  # (n, 1)
    others = states @ functional.embedding(negatives, item_vectors).T  # (n, num_negatives)
    columns = [wanted, others.masked_fill(targets[:, None] == negatives, -torch.inf)]
    if bool(disliked.any()):
        against = (states * functional.embedding(disliked, item_vectors)).sum(dim=1, keepdim=True)
        columns.append(against.masked_fill(((disliked == 0) | (disliked == targets))[:, None], -torch.inf))
    log_shares = functional.log_softmax(torch.cat(columns, dim=1), dim=1)
    losses = -log_shares[:, 0]
    if label_smoothing:
        is_there = torch.isfinite(log_shares)
        even = -log_shares.masked_fill(~is_there, 0.0).sum(dim=1) / is_there.sum(dim=1)
        losses = (1 - label_smoothing) * losses + label_smoothing * even
    return losses
