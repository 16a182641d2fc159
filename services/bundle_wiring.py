"""Opens the bundle store that the settings name; every process that publishes or fetches bundles asks here.

The libraries for object storage and for signatures are imported only where the settings ask for them, so that a worker
without either starts as fast as before.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from services.adapters.bundle_cache import BundleCache
from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.bundle_signatures import Ed25519Signatures, Signatures, Unsigned
from services.domain.errors import InvalidSettings
from services.domain.signing_keys import public_key, secret_key
from services.settings import BundleSettings, Settings

if TYPE_CHECKING:
    from services.adapters.bundle_objects import ObjectBundleStore

SigningBundleStore: TypeAlias = "FolderBundleStore | ObjectBundleStore"
"""A BundleStore that can also sign again what it holds."""


def open_bundles(settings: Settings) -> SigningBundleStore:
    """Asks nothing yet. Raises InvalidSettings for keys, or an address, that cannot be used, and MissingDependency."""
    bundles, signatures = settings.bundles, open_signatures(settings.bundles)
    if bundles.url is None:
        return FolderBundleStore(settings.bundle_folder, signatures)
    from services.adapters.bundle_bucket import Bucket
    from services.adapters.bundle_objects import ObjectBundleStore

    bucket = Bucket(bundles.url, {name: value.get_secret_value() for name, value in bundles.options.items()})
    return ObjectBundleStore(bucket, BundleCache(settings.bundle_cache_folder, bundles.cached_versions), signatures)


def open_signatures(bundles: BundleSettings) -> Signatures:
    """Raises InvalidSettings and MissingDependency, as above."""
    try:
        secret, trusted = _signing_key(bundles), [public_key(key) for key in trusted_keys(bundles)]
        return Ed25519Signatures(secret, trusted) if secret is not None or trusted else Unsigned()
    except ValueError as error:  # never repeats a key
        raise InvalidSettings(f"A key among the bundles' settings cannot be used: {error}") from error


def _signing_key(bundles: BundleSettings) -> bytes | None:
    if bundles.signing_key is not None:
        return secret_key(bundles.signing_key.get_secret_value())
    return None if bundles.signing_key_file is None else secret_key(_text(bundles.signing_key_file))


def trusted_keys(bundles: BundleSettings) -> list[str]:
    """Those of the settings and of the file they name; none: every bundle is trusted.

    Raises InvalidSettings for a file without any key: whoever names one does not mean to trust everything.
    """
    keys = list(bundles.trusted_keys)
    if bundles.trusted_keys_file is not None:
        lines = (line.strip() for line in _text(bundles.trusted_keys_file).splitlines())
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise InvalidSettings(f"{bundles.trusted_keys_file} (bundles.trusted_keys_file) holds no key")
        keys += found
    return keys


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidSettings(f"The key file {path} cannot be read: {problem}") from error
