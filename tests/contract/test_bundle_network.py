"""Object storage behind a network that breaks off: nothing half is ever used, and what was there serves on."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.adapters.bundle_bucket import ATTEMPTS, CHUNK_BYTES, FIRST_PAUSE_S, PATIENT_ATTEMPTS
from services.adapters.bundle_objects import ObjectBundleStore
from services.domain.errors import BundleStoreDown
from tests.breaking_proxy import Proxy, Rule, breaking_proxy
from tests.contract.bundle_objects import object_store
from tests.fakes.tiny_bundle import manifest_of
from tests.s3 import S3

LARGE = 3 * CHUNK_BYTES


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    folder = tmp_path / "draft"
    folder.mkdir()
    (folder / "tables.safetensors").write_bytes(os.urandom(LARGE))
    (folder / "vocabulary.json").write_bytes(b"{}")
    return folder


@pytest.fixture
def url(s3: S3) -> str:
    return s3.new_bucket()


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with breaking_proxy(s3.port) as proxy:
        yield proxy


@pytest.fixture
def store(tmp_path: Path, s3: S3, url: str, proxy: Proxy) -> ObjectBundleStore:
    return object_store(tmp_path, url, s3.options_through(proxy.port))


def breaks(method: bytes, name: bytes, after_bytes: int, times: int) -> Rule:
    """Breaks off the answers to the first requests of a kind for an object."""
    left = [times]

    def rule(request: bytes) -> int | None:
        line = request.partition(b" HTTP")[0]
        if not (line.startswith(method + b" ") and name in line and left[0]):
            return None
        left[0] -= 1
        return after_bytes

    return rule


def test_a_download_that_breaks_off_in_the_middle_ends_whole(
    store: ObjectBundleStore, proxy: Proxy, draft: Path
) -> None:
    location = store.publish(draft, manifest_of("v1"))
    proxy.rule = breaks(b"GET", b"tables.safetensors", CHUNK_BYTES + 4_321, times=2)
    folder = store.fetch(location)
    assert proxy.num_broken == 2
    assert (folder / "tables.safetensors").read_bytes() == (draft / "tables.safetensors").read_bytes()


def test_an_upload_whose_answer_is_lost_ends_published(store: ObjectBundleStore, proxy: Proxy, draft: Path) -> None:
    proxy.rule = breaks(b"PUT", b"tables.safetensors", 0, times=1)
    location = store.publish(draft, manifest_of("v1"))
    assert proxy.num_broken == 1
    assert any("uploadId" in request for request in proxy.requests), "it went up in parts"
    assert (store.fetch(location) / "tables.safetensors").stat().st_size == LARGE


def test_who_wrote_the_manifest_and_never_heard_so_has_published_it(
    store: ObjectBundleStore, proxy: Proxy, draft: Path
) -> None:
    """The second attempt finds the manifest of the first, which is no other's."""
    proxy.rule = breaks(b"PUT", b"v1/manifest.json", 0, times=1)
    assert store.publish(draft, manifest_of("v1")) == "v1"
    assert proxy.num_broken == 1
    with pytest.raises(FileExistsError):
        store.publish(draft, manifest_of("v1"))


def test_a_store_that_is_away_is_said_after_some_attempts(
    tmp_path: Path, s3: S3, url: str, proxy: Proxy, draft: Path
) -> None:
    """With what to check; what was fetched before needs no store."""
    pauses: list[float] = []
    store = object_store(tmp_path, url, s3.options_through(proxy.port), pause=pauses.append)
    store.publish(draft, manifest_of("v1"))
    store.publish(draft, manifest_of("v2"))
    store.fetch("v1")
    proxy.rule = lambda _: 0
    with pytest.raises(BundleStoreDown, match=r"v2/manifest\.json; check bundles\.url.*credentials"):
        store.fetch("v2")
    assert pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    assert len(pauses) == ATTEMPTS - 1
    assert store.fetch("v1").is_dir()
    proxy.rule = lambda _: None
    assert store.fetch("v2").is_dir()


def test_a_training_outlasts_a_store_that_is_away_for_minutes(
    tmp_path: Path, s3: S3, url: str, proxy: Proxy, draft: Path
) -> None:
    """Hours of work are not given up for a restart."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) > 100:
            proxy.rule = lambda _: None

    proxy.rule = lambda _: 0
    store = object_store(tmp_path, url, s3.options_through(proxy.port), pause=pause)
    assert store.fetch(store.publish(draft, manifest_of("v1"))).is_dir()
    assert ATTEMPTS <= len(pauses) < PATIENT_ATTEMPTS


def test_a_connection_that_hangs_is_given_up(tmp_path: Path, s3: S3, url: str, proxy: Proxy, draft: Path) -> None:
    """A load balancer that swallows packets must not hold a worker up for ever."""
    object_store(tmp_path, url, s3.options).publish(draft, manifest_of("v1"))
    options = {**s3.options_through(proxy.port), "read_timeout": "200ms"}
    proxy.swallows = True
    with pytest.raises(BundleStoreDown):
        object_store(tmp_path, url, options).fetch("v1")


def test_wrong_credentials_are_said_at_once(tmp_path: Path, draft: Path, refusing: int) -> None:
    options = {"endpoint": f"http://127.0.0.1:{refusing}", "allow_http": "true", "region": "x"}
    options |= {"access_key_id": "test", "secret_access_key": "geheim"}
    pauses: list[float] = []
    with pytest.raises(BundleStoreDown, match="credentials") as error:
        object_store(tmp_path, "s3://bucket/models", options, pause=pauses.append).publish(draft, manifest_of("v1"))
    assert pauses == []
    assert "geheim" not in str(error.value)


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a server that knows nobody."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the test's output."""
