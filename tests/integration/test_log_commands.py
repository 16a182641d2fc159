"""`nightjar events import`, `events export` and `nightjar log` in a home without a stack."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services import logs
from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.sql.engine import connect
from services.adapters.sql.user_directory import SqlUserDirectory
from services.cli import event_log, events
from services.domain.clock import SystemClock
from services.domain.errors import InvalidRequest, UnknownVersion
from services.domain.ids import ModelVersion, UserId
from services.domain.models import Pin
from services.domain.users import Erasure
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.model_registry import model
from tests.fakes.tiny_bundle import item_vectors, write_draft

Command = Callable[..., Any]

RATINGS = """userId,movieId,rating,timestamp,genre
1,50,4.5,1700000000,noir
2,50,five,1700000001,noir
3,51,2.0,1700086400,
1,50,4.5,1700000000,noir
"""
MAPPING = (
    "--map", "user_id=userId", "--map", "item_id=movieId", "--map", "value=rating", "--map", "event_time=timestamp",
    "--map", "attributes.genre=genre", "--time-unit", "s", "--set", "type=rating",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process and returns its text, or with --json its object; raises what it raises."""
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)

    def invoke(app: typer.Typer, *arguments: str) -> Any:
        ended = CliRunner().invoke(app, list(arguments), standalone_mode=False, env={"COLUMNS": "200"})
        if ended.exception is not None:
            raise ended.exception
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    with capture_logs():
        yield invoke


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATINGS)
    return path


def test_a_foreign_csv_file_is_mapped_imported_and_its_bad_row_reported(run: Command, ratings: Path) -> None:
    document = run(events.app, "import", str(ratings), *MAPPING, "--json")
    assert {name: document[name] for name in ("read", "logged", "dead", "duplicate")} == {
        "read": 4, "logged": 2, "dead": 1, "duplicate": 1,
    }  # fmt: skip
    (line,) = Path(document["bad_rows"]).read_text().splitlines()
    assert json.loads(line) | {"detail": ""} == {"row": 2, "reason": "malformed", "detail": ""}
    assert run(events.app, "import", str(ratings), *MAPPING, "--json")["logged"] == 2, "the counts of the whole file"
    assert run(event_log.app, "status", "--json")["num_events"] == 2


def test_the_text_says_what_happened_and_what_to_do_next(run: Command, ratings: Path) -> None:
    said = run(events.app, "import", str(ratings), *MAPPING)
    assert "4 rows, 2 logged, 1 duplicates, 1 skipped" in said
    assert re.search(r"ratings\.csv\.[0-9a-f]{8}\.bad\.jsonl", said)
    assert "nightjar features rebuild" in said


@pytest.mark.usefixtures("run")
def test_a_dry_run_names_the_first_bad_rows(ratings: Path) -> None:
    """On standard error, so that --json stays JSON."""
    ratings.write_text(RATINGS + "1,50,much,1700000000,noir\n" * 6)
    ended = CliRunner().invoke(events.app, ["import", str(ratings), *MAPPING, "--dry-run", "--json"])
    assert json.loads(ended.stdout)["dead"] == 7
    named = re.findall(r"ratings\.csv, row (\d+): malformed: ", ended.stderr)
    assert named == ["2", "5", "6", "7", "8"]
    assert "2 more rows are bad" in ended.stderr


def test_two_mappings_of_a_file_have_a_report_each(run: Command, ratings: Path) -> None:
    first = run(events.app, "import", str(ratings), *MAPPING, "--json")["bad_rows"]
    second = run(events.app, "import", str(ratings), *MAPPING, "--set", "surface=old", "--json")["bad_rows"]
    assert first != second
    assert Path(first).read_bytes() == Path(second).read_bytes() != b""


def test_a_report_replaces_no_file_of_the_operators(run: Command, ratings: Path) -> None:
    notes = ratings.with_name("notes.txt")
    notes.write_text("mine\n")
    link = ratings.with_name("link")
    link.symlink_to(ratings)
    for path, said in ((notes, "no report"), (ratings, "is the file to import"), (link, "is the file to import")):
        with pytest.raises(InvalidRequest, match=said):
            run(events.app, "import", str(ratings), *MAPPING, "--bad-rows", str(path))
    assert (notes.read_text(), ratings.read_text()) == ("mine\n", RATINGS)
    assert run(event_log.app, "status", "--json") is None


def test_a_dry_run_says_the_same_and_writes_nothing(run: Command, ratings: Path) -> None:
    document = run(events.app, "import", str(ratings), *MAPPING, "--dry-run", "--json")
    assert (document["logged"], document["dead"], document["bad_rows"]) == (2, 1, None)
    assert run(event_log.app, "status", "--json") is None
    assert [path.name for path in ratings.parent.iterdir() if path.name != "home"] == ["ratings.csv"]


@pytest.mark.parametrize("format_name", ["parquet", "csv", "jsonl"])
def test_an_export_is_imported_as_it_is(
    run: Command, ratings: Path, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same events, so into the same log they are duplicates, and another log they fill alike."""
    run(events.app, "import", str(ratings), *MAPPING)
    out = ratings.with_name(f"out.{format_name}")
    assert run(events.app, "export", "--out", str(out), "--json")["events"] == 2
    assert run(events.app, "import", str(out), "--json")["duplicate"] == 2
    monkeypatch.setenv("NIGHTJAR_HOME", str(ratings.parent / "other"))
    assert run(events.app, "import", str(out), "--json")["logged"] == 2
    again = out.with_name(f"again.{format_name}")
    run(events.app, "export", "--out", str(again))
    assert again.read_bytes() == out.read_bytes()


def test_fields_that_few_events_have_survive_an_export_and_an_import(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON Lines leave out what an event does not say, so a field may come first after thousands of lines."""
    lines = [
        {"event_id": f"e{n:04}", "user_id": "ada", "item_id": str(n), "type": "view", "event_time": 1_700_000_000 + n}
        for n in range(1_001)
    ]
    rare = {"value": 4.5, "session_id": "s", "request_id": "r", "position": 3, "surface": "home"}
    lines[-1] |= rare | {"attributes": {"genre": "noir"}}
    written = tmp_path / "sparse.jsonl"
    written.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(events.app, "import", str(written), "--time-unit", "s")
    out = tmp_path / "out.jsonl"
    run(events.app, "export", "--out", str(out))
    *_, last = map(json.loads, out.read_text().splitlines())
    assert last | rare | {"attributes": {"genre": "noir"}} == last
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "other"))
    run(events.app, "import", str(out))
    run(events.app, "export", "--out", str(tmp_path / "again.jsonl"))
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()


def test_an_export_takes_a_time_range_columns_and_a_version(run: Command, ratings: Path) -> None:
    run(events.app, "import", str(ratings), *MAPPING)
    out = ratings.with_name("out.jsonl")
    arguments = ("export", "--out", str(out), "--json")
    until = run(events.app, *arguments, "--until", "2023-11-15T00:00:00Z", "--columns", "user_id,type,value")
    assert until["events"] == 1
    assert json.loads(out.read_text()) == {"user_id": "1", "type": "rating", "value": 4.5}
    assert run(events.app, *arguments, "--since", "2023-11-15T00:00:00Z")["events"] == 1
    assert run(events.app, *arguments, "--version", "0")["events"] == 0
    with pytest.raises(UnknownVersion):
        run(events.app, *arguments, "--version", "99")


def test_a_failed_export_leaves_the_older_file_as_it_was(run: Command, ratings: Path) -> None:
    run(events.app, "import", str(ratings), *MAPPING)
    out = ratings.with_name("out.jsonl")
    run(events.app, "export", "--out", str(out))
    before = out.read_text()
    for data in (ratings.parent / "home").rglob("*.parquet"):
        data.unlink()
    with pytest.raises(Exception, match="cannot be read"):
        run(events.app, "export", "--out", str(out))
    assert out.read_text() == before
    assert not list(ratings.parent.glob(".*partial"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "ratings.csv"), "--map user_id=COLUMN"),
        (("import", "ratings.csv", "--map", "user_id"), "no '='"),
        (("import", "ratings.csv", "--map", "value=a", "--map", "value=b"), "twice"),
        (("import", "absent.csv"), "cannot be read"),
        (("import", "ratings.csv", "--format", "xml"), "choose parquet"),
        (("import", "ratings.csv", "ratings.csv", "--bad-rows", "x"), "one FILE"),
        (("export", "--out", "x.txt"), "--format"),
        (("export", "--out", "x.csv", "--columns", "user_id,colour"), "colour"),
        (("export", "--out", "absent/x.csv"), "cannot be written"),
        (("export", "--out", "x.csv", "--since", "yesterday"), "ISO 8601"),
        (("export", "--out", "x.csv", "--version", "-5"), "--version -5 is none"),
    ],
)
def test_a_mistake_is_named(run: Command, ratings: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        run(events.app, *arguments)


def test_an_empty_log_has_a_status_and_a_housekeeping(run: Command) -> None:
    assert "empty" in run(event_log.app, "status")
    assert "nothing to do" in run(event_log.app, "housekeeping")


def test_housekeeping_is_tried_dry_then_done_and_recorded(run: Command, ratings: Path) -> None:
    for day in range(5):
        part = ratings.with_name(f"part{day}.csv")
        part.write_text(f"user_id,item_id,type,event_time\n{day},b,view,2026-01-01T00:00:0{day}Z\n")
        run(events.app, "import", str(part))
    assert run(event_log.app, "housekeeping", "--dry-run", "--json")["compacted"]["num_files_before"] == 5
    assert run(event_log.app, "status", "--json")["num_files"] == 5
    done = run(event_log.app, "housekeeping", "--json")
    assert (done["state"], "5 files merged into 1" in done["detail"]) == ("succeeded", True)
    assert run(event_log.app, "status", "--json")["num_files"] == 1
    assert "5 on 1 dates" in run(event_log.app, "status")


def test_a_user_is_found_until_they_are_forgotten(run: Command, ratings: Path, tmp_path: Path) -> None:
    """Law 7: a command proves it; it ends with 1 for as long as a file of any version holds who asked."""
    run(events.app, "import", str(ratings), *MAPPING)
    before = run(event_log.app, "find-user", "1", "--json")
    assert (before["request_time_us"], before["log"]["num_events_now"], before["num_online"]) == (None, 1, None)
    assert "never" in run(event_log.app, "find-user", "1")
    users = SqlUserDirectory(connect(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}"), SystemClock())
    users.request_erasures([Erasure(UserId("1"), 1_800_000_000_000_000)])
    run(event_log.app, "housekeeping")
    left = CliRunner().invoke(event_log.app, ["find-user", "1"])
    assert (left.exit_code, "not fulfilled yet" in left.stdout) == (1, True)
    assert "0 events of before, and 1 in files of older versions" in left.stdout
    assert run(event_log.app, "find-user", "nobody", "--json")["is_forgotten"]


def test_housekeeping_deletes_old_models_and_says_which_it_would(run: Command, tmp_path: Path) -> None:
    """On a real database and folder: all but the newest and the pinned one, whose data stays too."""
    home = tmp_path / "home"
    settings = load(home=home)
    registry, store = open_registry(settings), FolderBundleStore(settings.bundle_folder)
    for number in range(15):
        version = f"v{number:02}"
        folder = tmp_path / version
        manifest = write_draft(folder, version, vectors=item_vectors(number))
        location = store.publish(folder, manifest)
        created = datetime.now(UTC) - timedelta(days=30 - number)
        registry.register(replace(model(version), location=location, created_time=created))
    registry.pin(ModelVersion("v00"), Pin("ada", "an audit"))
    planned = run(event_log.app, "housekeeping", "--dry-run", "--json")["models"]
    assert planned["deleted"] == ["v04", "v03", "v02", "v01"]
    assert len(store.stored()) == 15
    assert "bundles of 4 models deleted" in run(event_log.app, "housekeeping", "--json")["detail"]
    assert {each.location for each in store.stored()} == {"v00", *(f"v{number:02}" for number in range(5, 15))}
    assert store.fetch("v00").is_dir()
    assert len(registry.everything()) == 11
