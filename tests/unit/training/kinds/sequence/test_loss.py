"""The softmax against a sum worked out by hand, and in chunks the same as at once."""

import math

import pytest
import torch
from torch import Tensor

from services.training.kinds.sequence.loss import next_item_loss

ROWS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])


def hand_worked(states: Tensor, **changed: Tensor | float) -> float:
    given = {
        "targets": torch.tensor([1]),
        "negatives": torch.tensor([1, 2]),
        "disliked": torch.tensor([0]),
        "weights": torch.ones(1),
        "label_smoothing": 0.0,
    }
    return float(next_item_loss(states, ROWS, **{**given, **changed}))  # type: ignore[arg-type]


def test_the_target_is_held_against_the_negatives_but_not_against_itself() -> None:
    states = torch.tensor([[2.0, 1.0]])
    assert hand_worked(states) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + math.exp(1))))


def test_what_the_user_disliked_is_one_more_negative_and_a_weight_multiplies() -> None:
    states = torch.tensor([[2.0, 1.0]])
    share = math.exp(2) / (math.exp(2) + math.exp(1) + math.exp(2.0))  # item 3: .6 x 2 + .8 x 1
    loss = hand_worked(states, disliked=torch.tensor([3]), weights=torch.tensor([0.5]))
    assert loss == pytest.approx(-0.5 * math.log(share))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("with_disliked", [False, True])
def test_in_chunks_it_is_the_same_with_the_same_gradients(label_smoothing: float, with_disliked: bool) -> None:
    """Chunks of seven targets, the last of two; only the first chunk has a disliked item."""
    random = torch.Generator().manual_seed(1)
    targets, negatives = torch.randint(1, 40, (30,), generator=random), torch.arange(1, 40)
    disliked = torch.zeros(30, dtype=torch.int64)
    if with_disliked:
        disliked[2] = 17
    weights = torch.rand(30, generator=random)
    outcomes = []
    for max_cells in (10**6, 7 * len(negatives)):
        states, vectors = (
            torch.randn(size, 8, generator=torch.Generator().manual_seed(size)).requires_grad_() for size in (30, 40)
        )
        loss = next_item_loss(states, vectors, targets, negatives, disliked, weights, label_smoothing, max_cells)
        (3 * loss).backward()  # type: ignore[no-untyped-call]
        outcomes.append([loss.detach(), states.grad, vectors.grad])
    for at_once, in_chunks in zip(*outcomes, strict=True):
        torch.testing.assert_close(in_chunks, at_once)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_its_gradients_are_those_that_autograd_finds_for_the_plain_formula(label_smoothing: float) -> None:
    random = torch.Generator().manual_seed(2)
    targets, disliked = torch.randint(1, 40, (2, 30), generator=random)
    disliked[:10] = 0
    disliked[10] = targets[10]  # a mind changed: not held against itself
    negatives, weights = torch.randperm(39, generator=random)[:25] + 1, torch.rand(30, generator=random)
    states, vectors = torch.randn(30, 8, generator=random), torch.randn(40, 8, generator=random)

    def plain(states: Tensor, vectors: Tensor) -> Tensor:
        losses = []
        for state, target, against, weight in zip(states, targets, disliked, weights, strict=True):
            others = [row for row in negatives if row != target]
            rows = torch.stack([target, *others, *([against] if against not in (0, target) else [])])
            log_shares = torch.log_softmax(vectors[rows] @ state, dim=0)
            even = -log_shares.mean()
            losses.append(weight * ((1 - label_smoothing) * -log_shares[0] + label_smoothing * even))
        return torch.stack(losses).sum()

    def ours(states: Tensor, vectors: Tensor) -> Tensor:
        return next_item_loss(states, vectors, targets, negatives, disliked, weights, label_smoothing)

    outcomes = []
    for loss_of in (plain, ours):
        leaves = [each.clone().requires_grad_() for each in (states, vectors)]
        loss = loss_of(*leaves)
        outcomes.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
    for expected, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected)
