"""What each way to serve a model costs and loses: the table of plans, for a model of the size of ml-1m.

`python -m benchmarks.plans --data FOLDER [--users N] [field=value ...]`: an evaluation folder (`nightjar evaluate
--help`), cut by protocol P1, so that each user's last event is asked for; fitted for two epochs with 2 blocks,
dimension 64 and histories of 50, unless fields of TrainSettings say otherwise. Prints the table of plans, and a last
JSON line with `encode_core_us` (`eager`, `plan`: microseconds of a core to encode one history, medians of the same
histories asked in turns) and `plan_ndcg_loss` (share of NDCG@10 that the chosen plan loses; `plan_ndcg_loss_at_most`:
at the worse end of the paired 95% interval).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from services.adapters.evaluation_folder import read_folder
from services.cli.model_plans import table
from services.domain.evaluation_data import EvaluationData
from services.domain.plans import REFERENCE, Plan, PlanFigures, PlanTable
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.data.dataset import Dataset
from services.training.evaluation.protocols import Protocol, cut
from services.training.export import write_draft
from services.training.kinds.popularity import most_telling
from services.training.model import TrainableModel
from services.training.plans.measuring import planned

SHAPE: Final[Mapping[str, str]] = {"num_blocks": "2", "dim": "64", "max_history": "50", "max_epochs": "2"}


def main(options: argparse.Namespace) -> None:
    fields = dict(each.split("=", 1) for each in options.fields)
    train = TrainSettings.model_validate({**SHAPE, **fields})
    model = configured_model(train)
    data = _first_users(read_folder(options.data), options.users)
    dataset = cut(data, Protocol.NEXT_ITEM, validates=model.capabilities.validates).dataset
    model.fit(dataset, lambda report: print(f"epoch {report.epoch}  NDCG@10 {report.valid_ndcg_at_10:.4f}", flush=True))
    found = _plans(model, dataset, train)
    Console(width=200).print(table(found))
    print(json.dumps(_line(found, dataset, fields)))


def _first_users(data: EvaluationData, num_users: int | None) -> EvaluationData:
    """The events of so many users; all of them for None."""
    if num_users is None:
        return data
    kept = data.users.codes < num_users
    return replace(
        data,
        users=data.users.chosen(kept),
        items=data.items.chosen(kept),
        times_s=data.times_s[kept],
        is_test=None if data.is_test is None else data.is_test[kept],
    )


def _plans(model: TrainableModel, dataset: Dataset, train: TrainSettings) -> PlanTable:
    with tempfile.TemporaryDirectory() as name:
        write_draft(Path(name), model, dataset.vocabulary, most_telling(dataset), train.max_history)
        found = planned(
            Path(name), model, dataset, train.max_history,
            wanted=train.plan, max_loss=train.max_plan_loss, seed=train.seed,
        )  # fmt: skip
    if found is None:
        raise SystemExit(f"{model.kind} has no encoder, so there is one way to serve it.")
    return found


def _line(plans: PlanTable, dataset: Dataset, fields: Mapping[str, str]) -> dict[str, Any]:
    eager, plan = _figures(plans, REFERENCE), _figures(plans, plans.chosen)
    return {
        "benchmark": "plans",
        "fields": {**SHAPE, **fields},
        "num_items": dataset.num_items,
        "chosen": plans.chosen.name,
        "encode_core_us": {"eager": round(eager.encode_core_us, 1), "plan": round(plan.encode_core_us, 1)},
        "plan_ndcg_loss": round(plan.loss, 5),
        "plan_ndcg_loss_at_most": round(plan.loss_at_most, 5),
        "load": os.getloadavg()[0],
        "plans": plans.to_document(),
    }


def _figures(plans: PlanTable, plan: Plan) -> PlanFigures:
    row = plans.row(plan)
    if row is None or row.figures is None:
        raise SystemExit(f"{plan.name} was not measured: {'' if row is None else row.reason}")
    return row.figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an evaluation folder")
    parser.add_argument("--users", type=int, help="how many of its users, the first ones; all of them unless given")
    parser.add_argument("fields", nargs="*", help="field=value of TrainSettings")
    main(parser.parse_args())
