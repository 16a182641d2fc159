"""The cache of bundles: whole folders alone, one download for all who want it, bounded, and nothing cleared in use."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.adapters.bundle_cache import ABANDONED_AFTER_S, DRAFT_PREFIX, MAX_HELD, BundleCache
from services.domain.errors import BundleBroken

ROOT = Path(__file__).resolve().parents[3]


def check(folder: Path) -> None:
    if (folder / "content").read_text() != "whole":
        raise BundleBroken("content")


def fill(folder: Path) -> None:
    (folder / "content").write_text("whole")


def never(folder: Path) -> None:
    raise AssertionError("there was no need to fill it")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetched_and_let_go(folder: Path, version: str, keep: int) -> None:
    """As by a process that ends."""
    cache = BundleCache(folder, keep)
    cache.fetch(version, fill, check)
    cache.close()


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_there_is_not_fetched_again(folder: Path) -> None:
    assert BundleCache(folder, keep=1).fetch("v1", fill, check) == folder / "v1"
    assert BundleCache(folder, keep=1).fetch("v1", never, check) == folder / "v1"


def test_what_was_damaged_is_filled_anew(folder: Path) -> None:
    cache = BundleCache(folder, keep=1)
    (cache.fetch("v1", fill, check) / "content").write_text("half")
    assert (cache.fetch("v1", fill, check) / "content").read_text() == "whole"
    assert versions(folder) == ["v1"]


def test_many_who_find_it_damaged_mend_it_once_and_take_it_from_nobody(folder: Path) -> None:
    num_fills: list[int] = []

    def counted(draft: Path) -> None:
        num_fills.append(1)
        fill(draft)

    for _ in range(20):
        (BundleCache(folder, keep=1).fetch("v1", fill, check) / "content").write_text("half")
        num_fills.clear()
        with ThreadPoolExecutor(4) as pool:
            fetches = [pool.submit(BundleCache(folder, keep=1).fetch, "v1", counted, check) for _ in range(4)]
            for each in fetches:
                check(each.result(timeout=30))
        assert len(num_fills) == 1


def test_what_cannot_be_filled_is_not_there_and_keeps_what_came(folder: Path) -> None:
    """The next attempt need not fetch again what this one did."""

    def fail(draft: Path) -> None:
        (draft / "first").write_text("came")
        raise BundleBroken("second")

    def go_on(draft: Path) -> None:
        assert (draft / "first").read_text() == "came"
        fill(draft)

    cache = BundleCache(folder, keep=1)
    with pytest.raises(BundleBroken, match="second"):
        cache.fetch("v1", fail, check)
    assert not (folder / "v1").exists()
    cache.fetch("v1", go_on, check)


def test_the_versions_used_last_stay(folder: Path) -> None:
    """Used, not made: a rollback makes an old one the newest again."""
    for number in range(4):
        fetched_and_let_go(folder, f"v{number}", keep=9)
        os.utime(folder / f"v{number}", (number, number))
    fetched_and_let_go(folder, "v2", keep=9)
    fetched_and_let_go(folder, "v9", keep=2)
    assert versions(folder) == ["v2", "v9"]


def test_what_this_process_holds_stays_beyond_the_bound(folder: Path) -> None:
    """A slot has up to three models, and loads one more; the bound for those of one process is stated."""
    cache = BundleCache(folder, keep=1)
    for number in range(MAX_HELD + 3):
        cache.fetch(f"v{number}", fill, check)
    assert versions(folder) == [f"v{number}" for number in range(3, MAX_HELD + 3)]


HOLD = """
import sys
from pathlib import Path
from services.adapters.bundle_cache import BundleCache
from tests.unit.adapters.test_bundle_cache import check, fill
cache = BundleCache(Path(sys.argv[1]), keep=1)
cache.fetch(sys.argv[2], fill, check)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path, version: str) -> Iterator[None]:
    arguments = [sys.executable, "-c", HOLD, str(folder), version]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield
        finally:
            process.kill()
            process.wait()


def test_what_another_process_holds_stays_until_it_ends(folder: Path) -> None:
    """Even by SIGKILL, after which nobody could have cleaned up."""
    with other_process(folder, "v0"):
        fetched_and_let_go(folder, "v1", keep=1)
        assert versions(folder) == ["v0", "v1"]
    fetched_and_let_go(folder, "v2", keep=1)
    assert versions(folder) == ["v2"]


def test_those_who_want_the_same_wait_for_one_download(folder: Path) -> None:
    begun, finish, num_fills = threading.Event(), threading.Event(), []

    def slowly(draft: Path) -> None:
        num_fills.append(1)
        begun.set()
        assert finish.wait(timeout=30)
        fill(draft)

    def fetch(step: Callable[[Path], None]) -> Path:
        return BundleCache(folder, keep=2).fetch("v1", step, check)  # a cache each, as in a process each

    with ThreadPoolExecutor(4) as pool:
        fetches = [pool.submit(fetch, slowly)]
        assert begun.wait(timeout=30)
        fetches += [pool.submit(fetch, slowly) for _ in range(3)]
        assert not any(each.done() for each in fetches)
        BundleCache(folder, keep=2).fetch("v2", fill, check)  # another version waits for nobody
        finish.set()
        assert {each.result(timeout=30) for each in fetches} == {folder / "v1"}
    assert len(num_fills) == 1


def test_when_a_download_fails_one_who_waited_takes_over(folder: Path) -> None:
    begun, finish = threading.Event(), threading.Event()

    def fail(draft: Path) -> None:
        begun.set()
        assert finish.wait(timeout=30)
        raise BundleBroken("content")

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(BundleCache(folder, keep=1).fetch, "v1", fail, check)
        assert begun.wait(timeout=30)
        waiting = pool.submit(BundleCache(folder, keep=1).fetch, "v1", fill, check)
        finish.set()
        assert waiting.result(timeout=30) == folder / "v1"
        assert isinstance(failing.exception(), BundleBroken)


def test_what_crashes_left_is_cleared_away_a_day_later(folder: Path) -> None:
    old, fresh, gone = folder / f"{DRAFT_PREFIX}v1", folder / f"{DRAFT_PREFIX}v2", folder / ".gone-1"
    for path in (old, fresh, gone):
        path.mkdir(parents=True)
        (path / "content").write_text("half")
    past = old.stat().st_mtime - ABANDONED_AFTER_S - 60
    os.utime(old, (past, past))
    BundleCache(folder, keep=1).fetch("v3", fill, check)
    assert versions(folder) == [fresh.name, "v3"]


def test_many_processes_that_fetch_and_clear_at_once_all_get_whole_folders(folder: Path) -> None:
    """Each keeps one version only, so that they clear away what the others want all the time."""

    def fetch_many(start: int) -> None:
        for number in range(40):
            cache = BundleCache(folder, keep=1)
            path = cache.fetch(f"v{(start + number) % 3}", fill, check)
            check(path)  # held, so that it is still there
            cache.close()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(fetch_many, start) for start in range(4)]:
            each.result(timeout=60)
