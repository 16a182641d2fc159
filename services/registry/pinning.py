"""Pins: versions that an operator keeps, whatever their age. Both directions may be repeated."""

import structlog

from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion
from services.domain.models import Model, Pin
from services.domain.ports import ModelRegistry
from services.registry.words import check_actor, checked_reason

log = structlog.get_logger(__name__)


def pin(registry: ModelRegistry, version: ModelVersion, actor: str, reason: str) -> Model:
    """Keeps a version's bundle, and the data it was trained on, until it is unpinned; the newest reason stands.

    Raises UnknownVersion, BundleDeleted, InvalidRequest for a bad actor or no reason, and CatalogDown.
    """
    check_actor(actor)
    reason = checked_reason("reason", reason)
    if not reason:
        raise InvalidRequest("reason", "must say why the version is kept")
    registry.pin(version, Pin(actor, reason))
    log.info("model_pinned", version=version, actor=actor, why=reason)
    return registry.get(version)


def unpin(registry: ModelRegistry, version: ModelVersion, actor: str) -> Model:
    """Lets a version age as others do. Raises UnknownVersion, BundleDeleted, InvalidRequest, and CatalogDown."""
    check_actor(actor)
    registry.pin(version, None)
    log.info("model_unpinned", version=version, actor=actor)
    return registry.get(version)
