"""What the encoder is fitted by: a softmax over the catalogue while it is small, else over items drawn from it."""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

MAX_CELLS: Final = 2_097_152  # scores at a time, with some 10 bytes each. Larger: more memory, and slower once they
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
    loss: Tensor = _Softmax.apply(states, of_targets, of_negatives, of_disliked, asked, chunk)
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


class _Softmax(torch.autograd.Function):
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
        for first in range(0, len(states), chunk):
            which = slice(first, first + chunk)
            of_chunk, slopes = _slopes(
                states[which], of_targets[which], of_negatives, of_disliked[which], asked.part(which)
            )
            loss += of_chunk
            to_targets[which] = slopes.wanted * states[which]
            to_disliked[which] = slopes.against * states[which]
            to_states[which] = slopes.others @ of_negatives
            to_states[which] += slopes.wanted * of_targets[which] + slopes.against * of_disliked[which]
            to_negatives += slopes.others.T @ states[which]
        ctx.save_for_backward(to_states, to_targets, to_negatives, to_disliked)
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = upstream
        return (*(scale * each for each in ctx.saved_tensors), None, None)


class _Slopes(NamedTuple):
    """The loss's derivatives by the scores."""

    wanted: Tensor
    """(n, 1), of the targets."""
    others: Tensor
    """(n, num_negatives), in the type that products are computed in."""
    against: Tensor
    """(n, 1), of the disliked items; 0 where there is none."""


def _slopes(
    states: Tensor, of_targets: Tensor, of_negatives: Tensor, of_disliked: Tensor, asked: Asked
) -> tuple[Tensor, _Slopes]:
    """The loss, a scalar, and its slopes: of a cross-entropy they are each share, less 1 for what was chosen.

    The one large matrix is written over from scores to shares to slopes; as operations that autograd keeps track of,
    it would stand in memory six times.
    """
    targets, disliked, smoothing = asked.targets[:, None], asked.disliked[:, None], asked.label_smoothing
    products = states @ of_negatives.T
    others = products.float()  # (n, num_negatives): scores
    others.masked_fill_(targets == asked.negatives, -torch.inf)
    wanted = (states * of_targets).sum(dim=1, keepdim=True)  # (n, 1)
    against = (states * of_disliked).sum(dim=1, keepdim=True)  # (n, 1)
    against.masked_fill_((disliked == 0) | (disliked == targets), -torch.inf)
    num_there, sum_of_scores = torch.ones_like(wanted), torch.zeros_like(wanted)
    if smoothing:
        num_there += torch.isfinite(against) + torch.isfinite(others).sum(dim=1, keepdim=True)
        sum_of_scores = wanted + _finite(against) + _finite(others).sum(dim=1, keepdim=True)
    highest = torch.maximum(torch.maximum(wanted, against), others.amax(dim=1, keepdim=True))
    others.sub_(highest).exp_()
    of_wanted, of_against = (wanted - highest).exp(), (against - highest).exp()
    total = others.sum(dim=1, keepdim=True) + of_wanted + of_against
    log_total = highest + total.log()
    losses = log_total - (1 - smoothing) * wanted - smoothing * sum_of_scores / num_there
    weights = asked.weights[:, None]
    others.mul_(weights / total)  # shares, and with that slopes, but for what smoothing takes
    even = smoothing * weights / num_there
    if smoothing:
        others.sub_(even * (targets != asked.negatives))
    return (losses * weights).sum(), _Slopes(
        wanted=weights * of_wanted / total - (1 - smoothing) * weights - even,
        others=others.to(products.dtype),
        against=(weights * of_against / total - even).masked_fill(torch.isinf(against), 0.0),
    )


def _finite(scores: Tensor) -> Tensor:
    return scores.masked_fill(torch.isinf(scores), 0.0)
