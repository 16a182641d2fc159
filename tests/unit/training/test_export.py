"""What is published computes what was evaluated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file

from services.domain.bundles import ENCODER, SCORING, TABLES, VOCABULARY
from services.domain.errors import TrainingFailed
from services.domain.history_input import NUM_GAP_ROWS
from services.domain.vocabulary import Vocabulary
from services.inference.excluded import NOTHING
from services.inference.serving_model import load_serving_model
from services.training.data.dataset import Dataset
from services.training.export import write_draft
from services.training.kinds.ease import Ease
from services.training.kinds.graph_filter import GraphFilter, GraphFilterOptions
from services.training.kinds.ials import Ials, IalsOptions
from services.training.kinds.item_knn import ItemKnn
from services.training.kinds.popularity import Popularity, most_telling
from services.training.kinds.sequence.encoder import SHAPE, SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import STATE, Floats, History, Table, TrainableModel
from tests.fakes.tiny_bundle import manifest_of, seal

MAX_HISTORY = 12
HISTORY = History(np.array([3, 1, 3, 7]), np.array([1, 1, 1, 1]), np.array([0, 5, 9, 2]))


def export(folder: Path, model: TrainableModel, dataset: Dataset) -> None:
    write_draft(folder, model, dataset.vocabulary, most_telling(dataset), MAX_HISTORY)


def test_the_graph_equals_the_network_for_every_length(
    tmp_path: Path, planted: Dataset, fitted: SequenceEncoder
) -> None:
    export(tmp_path, fitted, planted)
    session = onnxruntime.InferenceSession(tmp_path / ENCODER, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    for length in range(1, MAX_HISTORY + 1):
        items, types = random.integers(1, planted.num_items + 1, (4, length)), random.integers(1, 5, (4, length))
        gaps = random.integers(NUM_GAP_ROWS, size=(4, length))
        (found,) = session.run(["user_vectors"], {"items": items, "event_types": types, "gaps": gaps})
        histories = [History(*rows) for rows in zip(items, types, gaps, strict=True)]
        assert np.abs(found - fitted.encode_users(histories)).max() < 1e-4


@pytest.mark.parametrize(("num_blocks", "num_heads"), [(3, 1), (2, 4)])
def test_any_shape_of_network_can_be_exported(
    tmp_path: Path, planted: Dataset, options: EncoderOptions, num_blocks: int, num_heads: int
) -> None:
    """write_draft compares by itself and would raise."""
    model = SequenceEncoder(replace(options, num_blocks=num_blocks, num_heads=num_heads, max_epochs=1))
    model.fit(planted, lambda _: None)
    export(tmp_path, model, planted)


def test_the_last_block_asks_for_one_position(fitted: SequenceEncoder) -> None:
    """Its query comes of weights of its own, which meet the last position and no other."""
    graph = onnx.load_from_string(fitted.encoder_onnx()).graph
    dim = fitted.dim
    square = {each.name for each in graph.initializer if tuple(each.dims) == (dim, dim)}
    made_by = {output: node for node in graph.node for output in node.output}
    asking = [
        made_by[node.input[0]].op_type for node in graph.node if node.op_type == "MatMul" and square & {*node.input}
    ]
    assert asking == ["Slice", "Reshape"]  # the query, and what the heads found


def test_the_draft_holds_the_tables_and_the_words_in_row_order(
    tmp_path: Path, planted: Dataset, fitted: SequenceEncoder
) -> None:
    export(tmp_path, fitted, planted)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {ENCODER, TABLES, VOCABULARY, STATE, SHAPE}
    tables = load_file(tmp_path / TABLES)
    assert np.array_equal(tables["item_vectors"], fitted.item_vectors())
    assert np.array_equal(tables["popularity"], most_telling(planted))
    assert Vocabulary.from_json((tmp_path / VOCABULARY).read_text(encoding="utf-8")) == planted.vocabulary


def test_popularity_has_no_encoder_and_no_vectors(tmp_path: Path, planted: Dataset) -> None:
    model = Popularity()
    model.fit(planted, lambda _: None)
    export(tmp_path, model, planted)
    assert not (tmp_path / ENCODER).exists()
    assert list(load_file(tmp_path / TABLES)) == ["popularity"]


MADE: Mapping[str, Callable[[EncoderOptions], TrainableModel]] = {
    "popularity": lambda _: Popularity(),
    "sequence": lambda options: SequenceEncoder(replace(options, max_epochs=1)),
    "ials": lambda _: Ials(IalsOptions(dim=8, num_epochs=2)),
    "item_knn": lambda _: ItemKnn(),
    "ease": lambda _: Ease(),
    "gf_cf": lambda _: GraphFilter(GraphFilterOptions(num_components=8)),
}


@pytest.mark.parametrize("kind", SCORING)
def test_serving_scores_as_the_model_does(tmp_path: Path, planted: Dataset, options: EncoderOptions, kind: str) -> None:
    """Of every kind that can be served: loaded as a worker loads it."""
    model = MADE[kind](options)
    model.fit(planted, lambda _: None)
    export(tmp_path, model, planted)
    seal(tmp_path, replace(manifest_of("v1", kind=kind, dim=model.dim, num_items=planted.num_items), max_history=12))
    scorer = load_serving_model(tmp_path).scorer
    assert scorer.knows(HISTORY) == model.capabilities.personal
    rows, scores = scorer.best(HISTORY, planted.num_items, NOTHING)
    evaluated = model.score([HISTORY])[0]
    assert sorted(rows) == list(range(1, planted.num_items + 1))
    assert np.abs(scores - evaluated[rows - 1]).max() <= 1e-4 * np.abs(evaluated).max()


class OfWrongWeights(ItemKnn):
    def serving_tables(self) -> Mapping[str, Table]:
        tables = dict(super().serving_tables())
        return {**tables, "neighbour_weights": tables["neighbour_weights"] * np.float32(1.001)}


class OfWrongRidge(Ials):
    def serving_tables(self) -> Mapping[str, Table]:
        return {**super().serving_tables(), "fold_in": self.fold_in * np.float32(1.1)}


class OfWrongOrder(Popularity):
    def score(self, histories: Sequence[History]) -> Floats:
        return super().score(histories)[:, ::-1]


@pytest.mark.parametrize("model", [OfWrongWeights(), OfWrongRidge(IalsOptions(dim=8, num_epochs=2)), OfWrongOrder()])
def test_tables_that_say_other_scores_are_never_published(
    tmp_path: Path, planted: Dataset, model: TrainableModel
) -> None:
    model.fit(planted, lambda _: None)
    with pytest.raises(TrainingFailed, match="off by"):
        export(tmp_path, model, planted)


class WithoutWeights(ItemKnn):
    def serving_tables(self) -> Mapping[str, Table]:
        return {"neighbour_rows": self.neighbours.rows, "type_weights": self.type_weights}


class OfAKindNobodyServes(Popularity):
    kind = "oracle"


@pytest.mark.parametrize(
    ("model", "why"), [(WithoutWeights(), "'neighbour_weights'"), (OfAKindNobodyServes(), "'oracle'")]
)
def test_what_serving_would_refuse_is_never_published(
    tmp_path: Path, planted: Dataset, model: TrainableModel, why: str
) -> None:
    model.fit(planted, lambda _: None)
    with pytest.raises(TrainingFailed, match=why):
        export(tmp_path, model, planted)


def _shift_the_output(graph: onnx.ModelProto) -> None:
    """By a thousandth: ten times what is allowed."""
    last = next(node for node in graph.graph.node if "user_vectors" in node.output)
    one = onnx.numpy_helper.from_array(np.array(1e-3, np.float32), "shift")
    graph.graph.initializer.append(one)
    last.output[0] = "not_shifted"
    graph.graph.node.append(onnx.helper.make_node("Add", ["not_shifted", "shift"], ["user_vectors"]))


def _make_nan(graph: onnx.ModelProto) -> None:
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = np.full_like(onnx.numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


@pytest.mark.parametrize("damage", [_shift_the_output, _make_nan])
def test_a_graph_that_disagrees_is_never_published(
    tmp_path: Path, planted: Dataset, fitted: SequenceEncoder, damage: Callable[[onnx.ModelProto], None]
) -> None:
    class Damaged(SequenceEncoder):
        def encoder_onnx(self) -> bytes:
            graph = onnx.load_from_string(fitted.encoder_onnx())
            damage(graph)
            serialized: bytes = graph.SerializeToString()
            return serialized

    damaged = Damaged(fitted.options)
    damaged._network = fitted.network
    damaged._freeze()
    with pytest.raises(TrainingFailed, match="off by"):
        export(tmp_path, damaged, planted)
