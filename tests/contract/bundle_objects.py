"""Bundle stores on objects for the contract suites: each opened as another process would, with a cache of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

from services.adapters.bundle_bucket import Bucket
from services.adapters.bundle_cache import BundleCache
from services.adapters.bundle_objects import ObjectBundleStore
from services.adapters.bundle_signatures import Signatures
from services.domain.ports import Clock
from tests.s3 import S3


def object_store(
    folder: Path,
    url: str,
    options: Mapping[str, str] | None = None,
    signatures: Signatures | None = None,
    clock: Clock | None = None,
    pause: Callable[[float], object] = lambda _: None,
    after_step: Callable[[str], object] = lambda _: None,
) -> ObjectBundleStore:
    """folder: its cache is `cache` in there. No pause between attempts, unless the test looks at them."""
    bucket = Bucket(url, options or {}, pause)
    return ObjectBundleStore(bucket, BundleCache(folder / "cache", keep=2), signatures, clock, after_step)


def s3_store(folder: Path, s3: S3, signatures: Signatures | None = None) -> ObjectBundleStore:
    """A bucket of its own."""
    return object_store(folder, s3.new_bucket(), s3.options, signatures)
