"""What the encoder is fitted by: a softmax over the catalogue while it is small, else over items drawn from it."""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

MAX_CELLS: Final = 2_097_152  # scores at a time, with some 50 bytes each. Larger: more memory, and slower once they
# leave the cache; smaller: products too small to be fast. Measured in docs/experiments.md, 2026-11-25
MAX_CELLS_GPU: Final = 33_554_432  # likewise; smaller: kernels are launched more than they work. Not measured yet


def next_item_loss(
    states: Tensor,
    item_vectors: Tensor,
    targets: Tensor,
    negatives: Tensor,
    disliked: Tensor,
    weights: Tensor,
    label_smoothing: float,
    max_cells: int | None = None,
) -> Tensor:
    """The cross-entropies, nats, of all targets against the negatives, each times its weight, summed: a scalar.

    states: (n, dim) user vectors over the temperature; item_vectors: (num_rows, dim); targets: (n,) rows of it, from 1.
    negatives: (num_negatives,) rows that all targets share; drawn evenly, they need no correction for how they were
    drawn. disliked: (n,) an item that the same user spoke against, 0 for none: a negative for this target alone.
    weights: (n,). Of more than max_cells scores (None: what suits the device) some targets are worked out at a time,
    gradients and all.
    Sources: Jean et al., arXiv 1412.2007 (sampled softmax); Yi et al., RecSys 2019 (cosines over a temperature).
    """
    asked = Asked(targets, negatives, disliked, weights, label_smoothing)
    of_targets, of_negatives, of_disliked = (
        functional.embedding(rows, item_vectors) for rows in (targets, negatives, disliked)
    )
    if max_cells is None:
        max_cells = MAX_CELLS if states.device.type == "cpu" else MAX_CELLS_GPU
    chunk = max(1, max_cells // max(1, len(negatives)))
    if chunk >= len(targets):
        return _loss(states, of_targets, of_negatives, of_disliked, asked)
    loss: Tensor = _InChunks.apply(states, of_targets, of_negatives, of_disliked, asked, chunk)
    return loss


class Asked(NamedTuple):
    """What is asked of states, see `next_item_loss`."""

    targets: Tensor
    negatives: Tensor
    disliked: Tensor
    weights: Tensor
    label_smoothing: float

    def part(self, which: slice) -> "Asked":
        return self._replace(targets=self.targets[which], disliked=self.disliked[which], weights=self.weights[which])


def _loss(states: Tensor, of_targets: Tensor, of_negatives: Tensor, of_disliked: Tensor, asked: Asked) -> Tensor:
    """The vectors are of the targets (n, dim), the negatives (num_negatives, dim) and the disliked items (n, dim)."""
    targets, disliked = asked.targets[:, None], asked.disliked[:, None]
    wanted = (states * of_targets).sum(dim=1, keepdim=True)  # (n, 1)
    others = states @ of_negatives.T  # (n, num_negatives)
    columns = [wanted, others.masked_fill(targets == asked.negatives, -torch.inf)]
    if bool(disliked.any()):
        against = (states * of_disliked).sum(dim=1, keepdim=True)
        columns.append(against.masked_fill((disliked == 0) | (disliked == targets), -torch.inf))
    log_shares = functional.log_softmax(torch.cat(columns, dim=1), dim=1)
    losses = -log_shares[:, 0]
    if asked.label_smoothing:
        is_there = torch.isfinite(log_shares)
        even = -log_shares.masked_fill(~is_there, 0.0).sum(dim=1) / is_there.sum(dim=1)
        losses = (1 - asked.label_smoothing) * losses + asked.label_smoothing * even
    return (losses * asked.weights).sum()


class _InChunks(torch.autograd.Function):
    """The loss with its gradients worked out on the way, some targets at a time, so that no scores need be kept.

    As a scalar is what comes out, all that backward has to do is to scale them: nothing is computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        of_targets: Tensor,
        of_negatives: Tensor,
        of_disliked: Tensor,
        asked: Asked,
        chunk: int,
    ) -> Tensor:
        loss = torch.zeros((), device=states.device)
        to_states, to_targets, to_disliked = (torch.empty_like(each) for each in (states, of_targets, of_disliked))
        to_negatives = torch.zeros_like(of_negatives)
        negatives = of_negatives.detach().requires_grad_()
        for first in range(0, len(states), chunk):
            which = slice(first, first + chunk)
            leaves = [each[which].detach().requires_grad_() for each in (states, of_targets, of_disliked)]
            with torch.enable_grad():
                of_chunk = _loss(leaves[0], leaves[1], negatives, leaves[2], asked.part(which))
            gradients = torch.autograd.grad(of_chunk, (*leaves, negatives), allow_unused=True)
            for into, gradient in zip((to_states, to_targets, to_disliked), gradients, strict=False):
                into[which] = 0.0 if gradient is None else gradient
            to_negatives += gradients[-1]
            loss += of_chunk.detach()
        ctx.save_for_backward(to_states, to_targets, to_negatives, to_disliked)
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = upstream
        return (*(scale * each for each in ctx.saved_tensors), None, None)
