"""Every kind without a network passes the suite, and the factory makes each by its name."""

import pytest

from services.domain.bundles import SCORING, Scoring
from services.domain.errors import InvalidSettings, NotEnoughData
from services.training.kinds.factory import KINDS, make_model
from services.training.kinds.ials import Ials
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel
from tests.unit.training.kinds.model_suite import ModelSuite
from tests.unit.training.kinds.small_data import dataset_of


class TestPopularity(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return make_model("popularity")


class TestItemKnn(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return make_model("item_knn", num_neighbours=20)


class TestEase(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return make_model("ease", l2=10.0, num_neighbours=20)


class TestGraphFilter(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return make_model("gf_cf", num_components=10, num_neighbours=20)


class TestIals(ModelSuite):
    def make(self, options: EncoderOptions) -> TrainableModel:
        return make_model("ials", dim=12, num_epochs=5)


def test_every_kind_that_can_be_served_without_a_graph_has_a_maker() -> None:
    assert set(KINDS) == {kind for kind, scoring in SCORING.items() if scoring is not Scoring.ENCODED}
    assert [make_model(kind).kind for kind in KINDS] == list(KINDS)


def test_options_reach_the_model() -> None:
    model = make_model("ials", dim=7)
    assert isinstance(model, Ials)
    assert model.options.dim == model.dim == 7


@pytest.mark.parametrize(("kind", "options"), [("oracle", {}), ("ease", {"depth": 3}), ("popularity", {"l2": 1.0})])
def test_what_there_is_not_is_refused(kind: str, options: dict[str, float]) -> None:
    with pytest.raises(InvalidSettings, match=kind):
        make_model(kind, **options)


@pytest.mark.parametrize(
    "events",
    [
        [("ann", "a", "dislike"), ("bob", "b", "dislike")],
        [("ann", "a", "view"), ("bob", "a", "view")],
        [("ann", "a", "view"), ("ann", "b", "view")],
    ],
    ids=["nothing positive", "one item", "one user"],
)
def test_data_from_which_nothing_can_be_learned_is_refused_before_any_kind_sees_it(
    events: list[tuple[str, str, str]],
) -> None:
    with pytest.raises(NotEnoughData):
        dataset_of(events)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "popularity"])
def test_likes_that_were_all_taken_back_are_not_enough(kind: str) -> None:
    taken_back = [("ann", "a", "view"), ("bob", "b", "view"), ("ann", "a", "dislike"), ("bob", "b", "dislike")]
    with pytest.raises(NotEnoughData, match="liked"):
        make_model(kind).fit(dataset_of(taken_back), lambda _: None)
