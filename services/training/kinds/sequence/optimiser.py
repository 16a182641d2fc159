"""AdamW over torch's functional form of it, and the learning rate's course.

The class torch.optim.AdamW does the same, but making one imports the whole compiler (torch._dynamo and inductor): 7 s
of CPU (docs/experiments.md, 2026-11-23), a fifth of what training the encoder on MovieLens-100K takes.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

WARM_UP = 0.02  # share of the run; larger: epochs lost at small steps; smaller: Adam's first steps overshoot
MAX_GRADIENT_NORM = 1.0  # larger: a rare batch can throw the weights; smaller: every step is cut short
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # the values of the paper, arXiv 1412.6980


class Table(Protocol):
    """A parameter that steps by itself, see `delayed`; what is clipped together is clipped with it."""

    @property
    def parameter(self) -> Tensor: ...

    def collect(self) -> Tensor: ...

    def step(self, learning_rate: float, scale: Tensor) -> None: ...


class AdamW:
    """Steps along clipped gradients; Linear weights decay, embeddings and norms do not.

    An embedding that is decayed fades towards zero between its few updates, and with it the rare items.
    """

    def __init__(self, network: nn.Module, weight_decay: float, tables: Sequence[Table] = ()) -> None:
        decayed = {id(module.weight) for module in network.modules() if isinstance(module, nn.Linear)}
        elsewhere = {id(table.parameter) for table in tables}
        self._tables = tables
        self._parameters = [each for each in network.parameters() if id(each) not in elsewhere]
        self._groups = [
            (_Group([each for each in self._parameters if id(each) in decayed]), weight_decay),
            (_Group([each for each in self._parameters if id(each) not in decayed]), 0.0),
        ]

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """All but the tables."""
        return self._parameters

    def step(self, learning_rate: float) -> None:
        """Changes the parameters in place, down their gradients, and forgets these."""
        if self._tables:
            self._step_tables(learning_rate)
        else:
            nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        for group, weight_decay in self._groups:
            group.step(learning_rate, weight_decay)
        for parameter in self._parameters:
            parameter.grad = None

    def _step_tables(self, learning_rate: float) -> None:
        """Cuts all gradients as one, and steps the tables."""
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        squares = [gradient.square().sum() for gradient in gradients] + [table.collect() for table in self._tables]
        scale = (MAX_GRADIENT_NORM / (torch.stack(squares).sum().sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)
        for table in self._tables:
            table.step(learning_rate, scale)

    def state(self) -> dict[str, Tensor]:
        """Moving averages and numbers of steps by name, the tensors themselves."""
        return {
            f"{name}.{group}.{place}": tensor
            for group, (of_group, _) in enumerate(self._groups)
            for name, tensors in of_group.state().items()
            for place, tensor in enumerate(tensors)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class _Group:
    """Parameters that are treated alike, and their moving averages."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(each) for each in parameters]
        self._squares = [torch.zeros_like(each) for each in parameters]
        self._steps = [torch.zeros((), device=each.device) for each in parameters]

    def state(self) -> dict[str, Sequence[Tensor]]:
        return {"mean": self._means, "square": self._squares, "step": self._steps}

    def step(self, learning_rate: float, weight_decay: float) -> None:
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in self._parameters]
        adamw_step(self._parameters, gradients, self._means, self._squares, self._steps, learning_rate, weight_decay)


def adamw_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    learning_rate: float,
    weight_decay: float,
) -> None:
    """One step in place, of weights, moving averages and numbers of steps alike."""
    with torch.no_grad():
        adamw(
            list(weights),
            list(gradients),
            list(means),
            list(squares),
            [],
            list(steps),
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=BETA1,
            beta2=BETA2,
            eps=EPSILON,
            lr=learning_rate,
            weight_decay=weight_decay,
        )


def learning_rate_factor(progress: float) -> float:
    """Up from 0 over WARM_UP, then down in a line to 0 at the run's end; progress: 0 to 1."""
    return min(progress / WARM_UP, 1.0) * (1.0 - progress)
