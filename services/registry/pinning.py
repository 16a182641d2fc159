"""Pins: versions that an operator keeps, whatever their age. Both directions may be repeated."""

import structlog

from services.domain.audit_words import check_actor, pin_of
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.ports import ModelRegistry

log = structlog.get_logger(__name__)


def pin(registry: ModelRegistry, version: ModelVersion, actor: str, reason: str) -> Model:
    """Keeps a version's bundle, and the data it was trained on, until it is unpinned; the newest reason stands.

    Raises UnknownVersion, BundleDeleted, InvalidRequest for a bad actor or no reason, and CatalogDown.
    """
    pin = pin_of(actor, reason)
    registry.pin(version, pin)
    log.info("model_pinned", version=version, actor=actor, why=pin.reason)
    return registry.get(version)


def unpin(registry: ModelRegistry, version: ModelVersion, actor: str) -> Model:
    """Lets a version age as others do. Raises UnknownVersion, BundleDeleted, InvalidRequest, and CatalogDown."""
    check_actor(actor)
    registry.pin(version, None)
    log.info("model_unpinned", version=version, actor=actor)
    return registry.get(version)
