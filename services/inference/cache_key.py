"""The one place where cache keys are made."""

from typing import Final

from services.domain.ids import ModelVersion, UserId

SCHEMA_VERSION: Final = 3  # counts up when the meaning of a cached value changes


def cache_key(
    *,
    model_version: ModelVersion,
    method: str,
    user_id: UserId,
    k: int,
    history_version: str,
    catalog_version: str,
    exclusions: str,
) -> bytes:
    """The key of an answer: every field that decides it, each behind its length, so no two requests share one.

    The model version is a field, so a swap needs no flush; the history version is one, so an event is a new key, and
    the catalog version, so a hidden item is. `exclusions` says what else is left out; empty: only what is consumed. The
    request id is none, because it decides nothing.
    """
    fields = (str(SCHEMA_VERSION), model_version, method, user_id, str(k), history_version, catalog_version, exclusions)
    return b"".join(_length_prefixed(field) for field in fields)


def _length_prefixed(field: str) -> bytes:
    encoded = field.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(4, "big") + encoded
