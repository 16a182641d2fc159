"""Which kind a name means, but for the one with a network, which `services.training.configured` adds."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from services.domain.errors import InvalidSettings
from services.training.kinds.ease import Ease, EaseOptions
from services.training.kinds.graph_filter import GraphFilter, GraphFilterOptions
from services.training.kinds.ials import Ials, IalsOptions
from services.training.kinds.item_knn import ItemKnn, ItemKnnOptions
from services.training.kinds.popularity import Popularity
from services.training.model import TrainableModel

_MAKERS: Final[Mapping[str, Callable[..., TrainableModel]]] = {
    Popularity.kind: Popularity,
    ItemKnn.kind: lambda **options: ItemKnn(ItemKnnOptions(**options)),
    Ease.kind: lambda **options: Ease(EaseOptions(**options)),
    GraphFilter.kind: lambda **options: GraphFilter(GraphFilterOptions(**options)),
    Ials.kind: lambda **options: Ials(IalsOptions(**options)),
}

SEEDED: Final = frozenset({GraphFilter.kind, Ials.kind})
"""Those whose options have a seed."""

KINDS: Final = tuple(_MAKERS)
"""The names that `make_model` knows."""


def make_model(kind: str, **options: Any) -> TrainableModel:
    """A model of this kind, not fitted yet; options: the fields of the kind's own; what is left out has its default.

    Raises InvalidSettings for a kind or an option that there is not.
    """
    if kind not in _MAKERS:
        raise InvalidSettings(f"There is no model kind {kind!r} here; choose one of {', '.join(KINDS)}.")
    try:
        return _MAKERS[kind](**options)
    except TypeError as error:
        raise InvalidSettings(f"The kind {kind} does not take these options: {error}") from error
