"""Pins: versions that an operator keeps, whatever their age. Both directions may be repeated, and tried dry."""

import structlog

from services.domain.audit_words import check_actor, pin_of
from services.domain.errors import BundleDeleted
from services.domain.ids import ModelVersion
from services.domain.models import Model, Pin
from services.domain.ports import ModelRegistry

log = structlog.get_logger(__name__)


def pin(registry: ModelRegistry, version: ModelVersion, actor: str, reason: str, *, dry_run: bool = False) -> Model:
    """Keeps a version's bundle, and the data it was trained on, until it is unpinned; the newest reason stands.

    Returns the version as it was. Raises UnknownVersion, BundleDeleted, InvalidRequest for a bad actor or no reason,
    and CatalogDown; dry_run: the same, and changes nothing.
    """
    return _changed(registry, version, pin_of(actor, reason), actor, dry_run=dry_run)


def unpin(registry: ModelRegistry, version: ModelVersion, actor: str, *, dry_run: bool = False) -> Model:
    """Lets a version age as others do; all else as above."""
    check_actor(actor)
    return _changed(registry, version, None, actor, dry_run=dry_run)


def _changed(registry: ModelRegistry, version: ModelVersion, pin: Pin | None, actor: str, *, dry_run: bool) -> Model:
    before = registry.get(version)
    if before.deleted_time is not None:
        raise BundleDeleted(f"Clean-up deleted the bundle of {version} on {before.deleted_time:%Y-%m-%d}.")
    if not dry_run:
        registry.pin(version, pin)
        why = "" if pin is None else pin.reason
        log.info("model_unpinned" if pin is None else "model_pinned", version=version, actor=actor, why=why)
    return before
