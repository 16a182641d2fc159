"""Versions by their names: in the registry where they lie, and in the bundle store what they are."""

from services.domain.errors import BundleBroken, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.ports import BundleStore, ModelRegistry
from services.training.judging.version import Published


def published(registry: ModelRegistry, bundles: BundleStore, version: ModelVersion) -> Published:
    """Its files verified; raises UnknownVersion, BundleBroken, and what the two raise when they are away."""
    return Published.read(bundles.fetch(registry.get(version).location))


def champion_of(
    registry: ModelRegistry, bundles: BundleStore, version: ModelVersion | None
) -> tuple[Published | None, str]:
    """The champion, or why there is none: a broken one must be replaced, so it cannot be asked for.

    A store that is away is no such reason, and raises: nothing goes live without a comparison because of it.
    """
    if version is None:
        return None, ""
    try:
        return published(registry, bundles, version), ""
    except (UnknownVersion, BundleBroken) as error:
        return None, f"{version} cannot be read: {error}"
