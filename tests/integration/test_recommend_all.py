"""`nightjar recommend --all` on a real Redis: each row is what the running service answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pyarrow.parquet as pq
import pytest

from nightjar.v1 import recommender_service_pb2 as wire
from services.adapters.redis_store.forgetting import RedisForgetter
from services.domain.ids import UserId
from services.domain.users import Erasure
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_process import Serving, environment, start, write_events
from tests.redis_state import client_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]  # several processes, one after another
NUM_USERS, K = 40, 4
USERS = [f"user-{number}" for number in range(NUM_USERS)]
WORDS = {wire.SOURCE_MODEL: "model", wire.SOURCE_POPULAR: "popular"}


@pytest.fixture
def own_redis(redis_url: str) -> str:
    """A database of its own, emptied: everybody in it is exported."""
    url = redis_url.removesuffix("/0") + "/9"
    with client_of(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def serving(tmp_path: Path, own_redis: str) -> Iterator[Serving]:
    """v1 is live; users did different things, one of them with items that no model knows."""
    serving = start(tmp_path / "home", own_redis, SERVE__NUM_WORKERS="1")
    serving.publish(tmp_path / "drafts", "v1", item_vectors(1, num_items=30))
    serving.publish(tmp_path / "drafts", "v2", item_vectors(2, num_items=30))
    serving.promote("v1")
    for number, user in enumerate(USERS):
        items = [f"item-{1 + (7 * number + step) % 30}" for step in range(1 + number % 5)]
        write_events(own_redis, user, *items, kind="purchase" if number % 3 else "view")
    write_events(own_redis, "stranger", "no-such-item")
    wait_until(lambda: serves(serving, "v1"), what="v1 serves")
    yield serving
    serving.process.terminate()
    serving.process.wait(30)


def serves(serving: Serving, version: str) -> bool:
    try:
        return serving.versions() == {version}
    except grpc.RpcError:
        return False


def export(serving: Serving, redis_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli.main", "recommend", "--all", "-k", str(K), *arguments]
    variables = environment(serving.home, REDIS__URL=redis_url)
    return subprocess.run(
        command, env=variables, cwd=serving.home, capture_output=True, text=True, timeout=240, check=False
    )


def answered(serving: Serving, user: str) -> list[dict[str, object]]:
    reply = serving.answer(wire.RecommendRequest(user_id=user, k=K))
    return [
        {
            "user_id": user,
            "model_version": reply.model_version,
            "rank": item.rank,
            "item_id": item.item_id,
            "score": item.score,
            "source": WORDS[reply.source],
            "history_version": reply.history_version,
        }
        for item in reply.items
    ]


def test_each_row_is_what_the_service_answers(serving: Serving, own_redis: str, tmp_path: Path) -> None:
    """To the bit of the score; users erased before are not in it; and what was made is not replaced by mistake."""
    RedisForgetter(own_redis).forget([Erasure(UserId("user-7"), 2**52)])
    out = tmp_path / "lists.parquet"
    done = export(serving, own_redis, "--out", str(out))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["model_version"], summary["num_users"], summary["num_failed"]) == ("v1", NUM_USERS, 0)
    rows = sorted(pq.read_table(out).to_pylist(), key=lambda row: (row["user_id"], row["rank"]))
    expected = [row for user in sorted({*USERS, "stranger"} - {"user-7"}) for row in answered(serving, user)]
    assert rows == expected
    assert summary["num_rows"] == len(rows)
    assert {row["source"] for row in rows} == {"model", "popular"}

    refused = export(serving, own_redis, "--out", str(out), "--version", "v2")
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert pq.read_table(out).to_pylist()[0]["model_version"] == "v1"
    forced = export(serving, own_redis, "--out", str(out), "--version", "v2", "--force")
    assert forced.returncode == 0, forced.stderr
    assert set(pq.read_table(out)["model_version"].to_pylist()) == {"v2"}
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_folder_holds_parts(serving: Serving, own_redis: str, tmp_path: Path) -> None:
    """And may be made again; a folder with anything else in it is never replaced."""
    out = tmp_path / "lists"
    for options in ((), ("--force",)):
        done = export(serving, own_redis, "--out", str(out), *options)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in out.iterdir()] == ["part-00001.parquet"]
    assert len(set(pq.read_table(out)["user_id"].to_pylist())) == NUM_USERS + 1
    (out / "notes.txt").write_text("mine")
    refused = export(serving, own_redis, "--out", str(out), "--force")
    assert (refused.returncode, (out / "notes.txt").read_text()) == (2, "mine")


def test_a_store_that_is_away_leaves_nothing_behind(serving: Serving, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    failed = export(serving, "redis://127.0.0.1:1/0", "--out", str(out))
    assert failed.returncode == 1
    assert "Redis" in failed.stderr
    assert list(tmp_path.glob("*lists*")) == []
