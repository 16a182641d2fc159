"""Real workers that trust one key refuse by name what is unsigned, by another key, or altered; the old one serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from pydantic import SecretStr

from services.adapters.bundle_bucket import Bucket
from services.bundle_wiring import open_bundles
from services.domain.bundles import MANIFEST, TABLES, sha256_of
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.registry.wiring import open_registry
from services.settings import BundleSettings, Settings
from tests.fakes.model_registry import PASSED
from tests.fakes.signing import public, secret
from tests.fakes.tiny_bundle import item_vectors, write_draft
from tests.integration.serving_process import NUM_WORKERS, Serving, start
from tests.s3 import S3
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

OURS, THEIRS = 1, 2


@dataclass(frozen=True)
class Night:
    """Whoever publishes: on another host, so with a home of its own, but for the database."""

    serving: Serving
    s3: S3
    url: str
    home: Path

    def publish(self, version: str, signing: int | None) -> str:
        """Stores, registers and passes a bundle; returns the digest of its manifest."""
        options = {name: SecretStr(value) for name, value in self.s3.options.items()}
        key = None if signing is None else SecretStr(secret(signing))
        bundles = BundleSettings(url=self.url, options=options, signing_key=key)
        store, registry = open_bundles(Settings(home=self.home, bundles=bundles)), open_registry(self.serving.settings)
        manifest = write_draft(self.home / "drafts" / version, version, vectors=item_vectors(1))
        location = store.publish(self.home / "drafts" / version, manifest)
        digest = sha256_of(store.fetch(location) / MANIFEST)
        created_time = SystemClock().now()
        registry.register(
            Model(manifest.model_version, manifest.kind, created_time, location, digest, manifest.data_version)
        )
        registry.judge(ModelVersion(version), PASSED)
        return digest

    def flip_a_bit(self, version: str, name: str) -> None:
        bucket = Bucket(self.url, self.s3.options)
        key = next(each.key for each in bucket.listed(version) if each.key.endswith(f"/{name}"))
        content = bytearray(bucket.get(key) or b"")
        content[-1] ^= 1
        bucket.put(key, bytes(content))

    def refusal(self, version: str) -> str:
        """What an operator reads who promotes it."""
        with pytest.raises(grpc.RpcError) as error:
            self.serving.promote(version)
        return str(error.value)


@pytest.fixture
def night(tmp_path: Path, redis_url: str, s3: S3) -> Iterator[Night]:
    """v1, which we signed, serves from object storage on both workers, which trust our key alone."""
    url = s3.new_bucket()
    options = {f"BUNDLES__OPTIONS__{name.upper()}": value for name, value in s3.options.items()}
    trusted = {"BUNDLES__URL": url, "BUNDLES__TRUSTED_KEYS": f'["{public(OURS)}"]'}
    serving = start(tmp_path / "home", redis_url, **options, **trusted)
    try:
        night = Night(serving, s3, url, tmp_path / "night")
        night.publish("v1", signing=OURS)
        serving.promote("v1")
        wait_until(lambda: len(serving.said("model_swapped")) == NUM_WORKERS, 60, "both workers have v1")
        wait_until(lambda: serving.versions() == {"v1"}, what="both workers serve v1")
        yield night
    finally:
        serving.process.terminate()
        serving.process.wait(timeout=30)


def test_what_we_did_not_sign_is_refused_by_name_while_the_old_one_serves(night: Night) -> None:
    night.publish("unsigned", signing=None)
    night.publish("theirs", signing=THEIRS)
    night.publish("altered", signing=OURS)
    night.flip_a_bit("altered", TABLES)
    refused = {
        "unsigned": f"{night.url}/unsigned is not signed",
        "theirs": f"manifest.sig of {night.url}/theirs is by the key",
        "altered": f"{TABLES} of {night.url}/altered does not match the sum",
    }
    for version, reason in refused.items():
        assert reason in night.refusal(version)
        assert night.serving.versions() == {"v1"}
    night.publish("v2", signing=OURS)
    night.serving.promote("v2")
    assert night.serving.versions() == {"v2"}
    log = night.serving.log.read_text()
    assert all(hidden not in log for hidden in ("geheim", secret(OURS), secret(THEIRS)))


def test_a_worker_that_starts_without_the_object_storage_serves_what_its_host_fetched(night: Night) -> None:
    """Law 6: what is whole in the cache is asked of nobody."""
    bucket = Bucket(night.url, night.s3.options)
    bucket.delete([each.key for each in bucket.listed("v1")])
    (victim, _) = night.serving.workers()
    victim.kill()
    wait_until(lambda: night.serving.num_started() == 3, what="another worker took its place")
    wait_until(lambda: len(night.serving.workers()) == 2 and serves(night.serving, "v1"), what="it serves v1")


def serves(serving: Serving, version: str) -> bool:
    try:
        return serving.versions() == {version}
    except grpc.RpcError:
        return False
