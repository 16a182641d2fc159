"""Implicit ALS: its loss never rises, its solves are those of plain numpy, and who is folded in is who was trained."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from services.domain.errors import BundleBroken, TrainingFailed, UnfitToStartFrom
from services.domain.scoring import FoldIn
from services.training.kinds.ials import Ials, IalsOptions
from services.training.kinds.interaction_matrix import interactions
from services.training.kinds.least_squares import rotated, solve_rows
from services.training.model import STATE, EarlierModel, EpochReport, FitEnd
from tests.unit.training.kinds.small_data import Doubles, dataset_of, histories_of, random_dataset, viewed

OPTIONS = IalsOptions(dim=10, num_epochs=30, unobserved_weight=0.1, regularisation=0.01)


def solved_in_numpy(matrix: Doubles, items: Doubles, options: IalsOptions) -> Doubles:
    """Of each row: (H'CH + unobserved V'V + ridge I)^-1 H'C1."""
    users = np.zeros((len(matrix), items.shape[1]))
    assert options.unobserved_weight is not None
    for user, row in enumerate(matrix):
        size = (row > 0).sum() + options.unobserved_weight * len(items)
        ridge = options.regularisation * size**options.frequency_exponent
        system = items.T @ (items * row[:, np.newaxis]) + options.unobserved_weight * items.T @ items
        users[user] = np.linalg.solve(system + ridge * np.eye(items.shape[1]), items.T @ row)
    return users


@pytest.mark.parametrize("block_dim", [3, 10, None])
def test_the_loss_never_rises(block_dim: int | None) -> None:
    """Whether a long row is solved in one block or in several, or by conjugate gradients."""
    dataset, _ = random_dataset(60, 40, 0.3)
    reports: list[EpochReport] = []
    options = IalsOptions(dim=10, num_epochs=15, block_dim=block_dim, unobserved_weight=0.1)
    assert Ials(options).fit(dataset, reports.append) is FitEnd.COMPLETED
    losses = [report.loss for report in reports]
    assert len(losses) == 15
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in pairwise(losses))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("dim", [6, 64])
def test_rows_are_solved_as_numpy_solves_them_one_by_one(dim: int) -> None:
    """Dimension 64: all rows are short, and solved by their cells; 6: all are long, and solved in one block."""
    dataset, _ = random_dataset(30, 20, 0.4)
    matrix = interactions(dataset)
    random = np.random.default_rng(0)
    matrix = matrix.with_values(random.uniform(0.5, 3.0, len(matrix.values)))
    items, users, spectrum = rotated(torch.from_numpy(random.normal(0, 0.3, (20, dim))).float(), torch.zeros(30, dim))
    ridge = 0.01 * (matrix.row_counts + 0.1 * 20)
    solve_rows(matrix, items, spectrum, users, torch.from_numpy(ridge).float(), 0.1, dim)
    expected = solved_in_numpy(matrix.tensor().to_dense().numpy(), items.double().numpy(), OPTIONS)
    assert np.allclose(users.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_principal_axes_change_no_product_and_make_the_gram_matrix_diagonal() -> None:
    random = np.random.default_rng(0)
    one, other = (torch.from_numpy(random.normal(size=(rows, 5))).float() for rows in (30, 20))
    fixed, moving, spectrum = rotated(one, other)
    assert torch.allclose(fixed @ moving.T, one @ other.T, atol=1e-4)
    assert torch.allclose(fixed.T @ fixed, torch.diag(spectrum), atol=1e-3)


def test_a_trained_user_who_is_folded_in_is_solved_exactly_and_as_serving_does() -> None:
    """Short and long histories alike, whatever the block of training."""
    dataset, matrix = random_dataset(60, 40, 0.3)
    model = Ials(OPTIONS)
    model.fit(dataset, lambda _: None)
    histories = histories_of(matrix)
    found = model.encode_users(histories)
    assert np.allclose(found, solved_in_numpy(matrix, model.item_vectors().astype(np.float64), OPTIONS), atol=1e-4)
    served = FoldIn.of(model.serving_tables())
    assert np.allclose(found, [served.encode(history) for history in histories], atol=1e-4)


def test_a_converged_user_equals_their_folded_in_vector() -> None:
    """One more half step over the users moves none of them: item vectors alone hold what was learned."""
    dataset, matrix = random_dataset(60, 40, 0.3)
    long, longer = Ials(IalsOptions(dim=6, num_epochs=200)), Ials(IalsOptions(dim=6, num_epochs=201))
    for model in (long, longer):
        model.fit(dataset, lambda _: None)
    histories = histories_of(matrix)
    assert np.allclose(long.score(histories), longer.score(histories), atol=1e-3)


def test_whoever_likes_what_a_group_likes_is_given_the_rest_of_it() -> None:
    """Two groups of users and items without an item in common."""
    random = np.random.default_rng(0)
    events = [
        (f"user-{group}-{user}", f"item-{group}-{item}", "view")
        for group in range(2)
        for user in range(20)
        for item in random.choice(8, 5, replace=False)
    ]
    model = Ials(IalsOptions(dim=2, unobserved_weight=0.1))
    model.fit(dataset_of(events), lambda _: None)
    (scores,) = model.score([viewed(1, 2)])
    assert scores[:8].min() > scores[8:].max()


def test_it_goes_on_from_an_earlier_model_by_item_id(tmp_path: Path) -> None:
    """Its first epoch is better than the last one of the model it starts from; other dimensions are refused."""
    dataset, _ = random_dataset(60, 40, 0.3)
    earlier: list[EpochReport] = []
    reports: list[EpochReport] = []
    first = Ials(IalsOptions(dim=10, num_epochs=3))
    first.fit(dataset, earlier.append)
    first.save(tmp_path)
    second = Ials(IalsOptions(dim=10, num_epochs=1, seed=9))
    earlier_model = EarlierModel(tmp_path, dataset.vocabulary, 0)
    second.start_from(earlier_model)
    second.fit(dataset, reports.append)
    assert reports[0].loss < earlier[-1].loss
    with pytest.raises(UnfitToStartFrom, match="dim 10, not 11"):
        Ials(IalsOptions(dim=11)).start_from(earlier_model)
    (tmp_path / STATE).write_bytes(b"{}")
    with pytest.raises(BundleBroken, match="cannot be read"):
        Ials(IalsOptions(dim=10)).start_from(earlier_model)


@pytest.mark.parametrize(("density", "at_most"), [(0.01, 0.9), (0.5, 1.0)])
def test_unseen_pairs_weigh_by_how_many_there_are(density: float, at_most: float) -> None:
    """15 times the density, and never more than an interaction."""
    dataset, matrix = random_dataset(40, 40, density)
    model = Ials(IalsOptions(dim=4, num_epochs=1))
    model.fit(dataset, lambda _: None)
    assert np.allclose(model.fold_in, [min(15 * matrix.mean(), 1.0), 0.005, 1.0])
    assert model.fold_in[0] <= at_most


def test_a_loaded_model_folds_in_as_it_was_trained_whatever_the_options_are_by_now(tmp_path: Path) -> None:
    dataset, _ = random_dataset(30, 20, 0.3)
    model, loaded = Ials(IalsOptions(dim=4, regularisation=0.02)), Ials(IalsOptions(dim=9, regularisation=0.5))
    model.fit(dataset, lambda _: None)
    model.save(tmp_path)
    loaded.load(tmp_path)
    assert np.array_equal(loaded.score([viewed(1, 2)]), model.score([viewed(1, 2)]))


def test_it_ends_when_its_time_is_up_and_says_so() -> None:
    dataset, _ = random_dataset(30, 20, 0.3)
    reports: list[EpochReport] = []
    assert Ials(IalsOptions(dim=4, max_seconds=1e-9)).fit(dataset, reports.append) is FitEnd.TIME_LIMIT
    assert len(reports) == 1


def test_the_time_of_a_killed_run_counts_when_it_goes_on(tmp_path: Path) -> None:
    dataset, _ = random_dataset(30, 20, 0.3)
    reports: list[EpochReport] = []
    for _ in range(2):
        model = Ials(IalsOptions(dim=4, max_seconds=1e-9))
        model.resume(tmp_path / "fit", "tonight")
        assert model.fit(dataset, reports.append) is FitEnd.TIME_LIMIT
    assert [report.epoch for report in reports] == [1]


def test_a_loss_that_is_no_number_fails_with_what_to_do_and_the_last_good_epoch_stays(tmp_path: Path) -> None:
    dataset, _ = random_dataset(30, 20, 0.3)
    good, bad = (Ials(IalsOptions(dim=4, num_epochs=2, regularisation=each)) for each in (0.01, float("nan")))
    good.resume(tmp_path / "fit", "tonight")
    good.fit(dataset, lambda _: None)
    kept = (tmp_path / "fit").read_bytes()
    bad.options = replace(bad.options, num_epochs=3)
    bad.resume(tmp_path / "fit", "tonight")
    with pytest.raises(TrainingFailed, match=r"epoch 3.*regularisation"):
        bad.fit(dataset, lambda _: None)
    assert (tmp_path / "fit").read_bytes() == kept


@pytest.mark.parametrize("size", [1e25, float("nan")], ids=["overflows", "is no number"])
def test_a_vector_that_is_no_number_fails_with_what_to_do(tmp_path: Path, size: float) -> None:
    """Whether its loss shows it or its system cannot be solved any more."""
    dataset, _ = random_dataset(30, 20, 0.3)
    save_file({"item_vectors": np.full((dataset.num_items, 4), size, np.float32)}, tmp_path / STATE)
    model = Ials(IalsOptions(dim=4))
    model.start_from(EarlierModel(tmp_path, dataset.vocabulary, 0))
    with pytest.raises(TrainingFailed, match="raise `regularisation`"):
        model.fit(dataset, lambda _: None)
