"""Every plan of a fitted model is a row; the chosen one is what the draft holds, and what fails spoils no night."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from services.domain.bundles import ENCODER
from services.domain.errors import TrainingFailed
from services.domain.plans import PLAIN, REFERENCE, Plan, PlanTable, Precision
from services.training.data.dataset import Dataset
from services.training.export import write_draft
from services.training.kinds.popularity import Popularity, most_telling
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.plans.measuring import MAKERS, Make, Wanted, overlap, planned

INT8 = Plan(Precision.INT8)


def table_of(folder: Path, model: Any, planted: Dataset, wanted: Wanted = "auto", max_loss: float = 0.0) -> Any:
    write_draft(folder, model, planted.vocabulary, most_telling(planted), 12)
    return planned(folder, model, planted, 12, wanted=wanted, max_loss=max_loss, seed=1)


def test_every_plan_is_a_row_with_figures(tmp_path: Path, planted: Dataset, fitted: SequenceEncoder) -> None:
    table: PlanTable = table_of(tmp_path, fitted, planted)
    assert {row.plan for row in table.rows} == {REFERENCE, PLAIN, INT8, Plan(Precision.INT4)}
    for row in table.rows:
        assert row.figures is not None
        assert row.figures.answer_core_us > row.figures.encode_core_us > 0
    figures = {row.plan: row.figures for row in table.rows if row.figures is not None}
    assert figures[PLAIN].overlap_at_20 > 0.999
    assert abs(figures[PLAIN].ndcg_change) < 1e-3
    assert figures[INT8].overlap_at_20 > 0.8


@pytest.mark.parametrize(("wanted", "bits"), [("float32", None), ("int8", 8), ("int4", 4)])
def test_the_wanted_plan_is_what_the_draft_holds(
    tmp_path: Path, planted: Dataset, fitted: SequenceEncoder, wanted: Wanted, bits: int | None
) -> None:
    table = table_of(tmp_path, fitted, planted, wanted)
    nodes = onnx.load(tmp_path / ENCODER).graph.node
    widths = {
        each.i for node in nodes if node.op_type == "MatMulNBits" for each in node.attribute if each.name == "bits"
    }
    assert widths == (set() if bits is None else {bits})
    assert table.chosen == Plan(Precision(wanted))


def unmade(_: bytes) -> bytes:
    raise ValueError("no such rounding")


def not_a_number(graph: bytes) -> bytes:
    """Loads, and answers with no numbers."""
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = np.full_like(onnx.numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    written: bytes = model.SerializeToString()
    return written


@pytest.mark.parametrize(
    ("broken", "why"),
    [(unmade, "no such rounding"), (lambda _: b"no graph", "cannot load"), (not_a_number, "no numbers")],
    ids=["cannot be made", "cannot be loaded", "cannot answer"],
)
def test_a_plan_that_fails_is_a_row_with_its_reason(
    tmp_path: Path, planted: Dataset, fitted: SequenceEncoder, broken: Make, why: str
) -> None:
    makers = {**MAKERS, INT8: broken}
    write_draft(tmp_path, fitted, planted.vocabulary, most_telling(planted), 12)
    table = planned(tmp_path, fitted, planted, 12, wanted="float32", max_loss=0.0, seed=1, makers=makers)
    assert table is not None
    reasons = {row.plan: row.reason for row in table.rows if row.figures is None}
    assert list(reasons) == [INT8]
    assert why in reasons[INT8]
    assert (tmp_path / ENCODER).read_bytes() == fitted.encoder_onnx()
    with pytest.raises(TrainingFailed, match=why):
        planned(tmp_path, fitted, planted, 12, wanted="int8", max_loss=0.0, seed=1, makers=makers)


def test_a_kind_without_an_encoder_has_no_plans(tmp_path: Path, planted: Dataset) -> None:
    model = Popularity()
    model.fit(planted, lambda _: None)
    assert table_of(tmp_path, model, planted) is None


def test_overlap_is_of_the_references_items() -> None:
    assert overlap(np.array([[3, 1, 2], [4, -1, -1]]), np.array([[1, 2, 9], [4, -1, -1]])) == 3 / 4
