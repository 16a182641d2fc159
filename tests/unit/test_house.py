"""The house rules that no linter knows: sizes, one metric catalogue, described settings, errors with reasons.

Each rule scans the repository's own text; what is generated or fetched is left out.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from services.domain import errors, metrics
from services.domain.errors import NightjarError, Reason
from services.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
PRODUCT = ("services", "scheduler", "deploy", "clients")
SOURCE = (*PRODUCT, "tests", "benchmarks")
TEXT = (*SOURCE, "docs", "proto", "requirements", ".ci")
TEXT_SUFFIXES = frozenset(
    {".py", ".pyi", ".md", ".toml", ".lock", ".yaml", ".yml", ".json", ".proto", ".sh", ".txt", ".ini", ".mako", ""}
)
MAX_LINES = 400

# The few places that may touch the environment, each for a reason that settings cannot serve.
ENVIRONMENT_USERS = {
    "services/settings/root.py": "the one place where settings come from",
    "deploy/embedded/services.py": "hands the machine's environment on to the children",
    "services/inference/worker.py": "numeric libraries take their thread counts from it, when they are imported",
    "services/training/__main__.py": "likewise",
    "services/training/evaluation/__main__.py": "likewise",
    "services/training/judging/__main__.py": "likewise",
    "services/training/tuning/__main__.py": "likewise",
    "services/training/ray_launcher.py": "Ray reads in it, when it is imported, that it must keep to this machine",
    "services/training/workers.py": "torchrun says in it who is who",
}


def python_files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "v1" not in path.parts or "clients" not in path.parts:
                yield path


def text_files() -> Iterator[Path]:
    """Every text file that is published, apart from the licence's own addresses and this file's own patterns."""
    yield from (path for path in REPOSITORY.iterdir() if path.is_file() and path.suffix in TEXT_SUFFIXES)
    for folder in TEXT:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.is_file() and path.suffix in TEXT_SUFFIXES and path != Path(__file__):
                yield path


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def matches(pattern: str, paths: Iterator[Path]) -> list[str]:
    """`file:line: text` of every line that holds the pattern."""
    wanted = re.compile(pattern)
    return [
        f"{name_of(path)}:{number}: {found.group()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := wanted.search(line))
    ]


def test_the_scan_sees_the_repository() -> None:
    """Else every rule below would hold for nothing."""
    assert {"services/settings/root.py", "tests/unit/test_house.py"} <= set(map(name_of, python_files(SOURCE)))
    assert {"requirements/dev.lock", "Makefile", "proto/nightjar/v1/event.proto"} <= set(map(name_of, text_files()))


def test_no_source_file_is_long() -> None:
    """A file near 400 lines tells two stories; split it along the words of the domain."""
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(SOURCE)}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_metric_is_in_the_catalogue() -> None:
    """Code, tests and dashboards use only the names of domain/metrics.py, with Prometheus' own endings."""
    known = {metric.name for metric in metrics.CATALOGUE}
    endings = ("_bucket", "_count", "_sum", "_created")
    used = matches(
        r"\bnightjar_[a-z_]+_(total|seconds|bytes|records|generation|count|sum|bucket|ratio)\b", text_files()
    )
    assert used, "the pattern finds the catalogue itself"
    names = {line.rpartition(": ")[2] for line in used}
    unknown = {
        name for name in names if name not in known and not any(name.removesuffix(end) in known for end in endings)
    }
    assert unknown == set()


def test_metric_names_follow_prometheus() -> None:
    """Counters end in _total, durations say seconds, and no label is a user or an item."""
    for metric in metrics.CATALOGUE:
        assert metric.name.startswith("nightjar_")
        assert metric.name.endswith("_total") == (metric.kind is metrics.Kind.COUNTER), metric.name
        assert metric.meaning
        assert not {"user", "user_id", "item", "item_id"} & set(metric.labels), metric.name
    assert len({metric.name for metric in metrics.CATALOGUE}) == len(metrics.CATALOGUE)


def leaf_fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaf_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description


def test_every_setting_is_described() -> None:
    """An operator reads what it does and in which unit without reading code."""
    described = dict(leaf_fields(Settings))
    assert "kafka.events_topic" in described
    assert [name for name, description in described.items() if not description] == []


def test_nothing_else_touches_the_environment() -> None:
    """Settings come from one place, so that `nightjar doctor` and the log show all that matters."""
    users = {name_of(path) for path in python_files(PRODUCT) if touches_environment(path)}
    assert users - set(ENVIRONMENT_USERS) == set()
    assert set(ENVIRONMENT_USERS) - users == set(), "take a file that no longer does off the list"


def touches_environment(path: Path) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names})
        for node in ast.walk(tree)
    )


def test_no_text_names_an_index_or_a_machine() -> None:
    """What is published works on any machine, with whatever index its owner uses."""
    addresses = matches(
        r"https?://[^\s\"'<>)]*(pypi|pythonhosted|/simple\b|maven|artifactory|nexus)|--(extra-)?index-url|--find-links",
        text_files(),
    )
    assert addresses == []
    # /home/kafka is a made-up home in a test.
    machine_paths = matches(r"(?<![\w.$~{}/-])/(root|home/(?!kafka\b)\w+|Users/\w+|work)/[\w.]", text_files())
    assert machine_paths == []


def all_subclasses(error: type[NightjarError]) -> set[type[NightjarError]]:
    return set(error.__subclasses__()).union(*map(all_subclasses, error.__subclasses__()))


def test_every_error_has_a_reason_of_its_own() -> None:
    """Machines tell errors apart by it; the table of gRPC codes and the console are keyed by it."""
    own = {error for error in all_subclasses(NightjarError) if error.__module__ == errors.__name__}
    assert len(own) > 10
    assert [error.__name__ for error in own if not isinstance(getattr(error, "reason", None), Reason)] == []
    assert sorted(error.reason for error in own) == sorted(Reason), "one class a reason, no reason unused"


def test_every_error_is_defined_in_the_domain() -> None:
    """A subclass elsewhere would escape the rule above and the tests that walk all errors."""
    bases = {"NightjarError"} | {error.__name__ for error in all_subclasses(NightjarError)}
    strays = [
        f"{name_of(path)}: {node.name}"
        for path in python_files(PRODUCT)
        if name_of(path) != "services/domain/errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and bases & {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    ]
    assert strays == []


@pytest.mark.parametrize("forbidden", ["utils", "helpers", "common", "misc"])
def test_no_module_is_a_drawer(forbidden: str) -> None:
    """A file is named by the story it tells."""
    assert [name_of(path) for path in python_files(SOURCE) if path.stem == forbidden] == []
