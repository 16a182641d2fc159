"""The one place where cache keys are made."""

from typing import Final

from services.domain.ids import ModelVersion, UserId

SCHEMA_VERSION: Final = 4  # counts up when the meaning of a cached value changes


def cache_key(
    *,
    model_version: ModelVersion,
    method: str,
    user_id: UserId,
    k: int,
    visitor: str,
    catalog_version: str,
    exclusions: str,
) -> bytes:
    """The key of an answer: every field that decides it but the history, each behind its length: no two share one.

    The model version is a field, so a swap needs no flush, and the catalog version, so a hidden item needs none. The
    version of the history lies in the value, see `cached_answer`: it is not known before it is read, in the same trip.
    `visitor`: that of who has no name, and brings it along; they share the user id "".
    `exclusions` says what else is left out; empty: only what is consumed. The request id decides nothing.
    """
    fields = (str(SCHEMA_VERSION), model_version, method, user_id, str(k), visitor, catalog_version, exclusions)
    return b"".join(_length_prefixed(field) for field in fields)


def _length_prefixed(field: str) -> bytes:
    encoded = field.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(4, "big") + encoded
