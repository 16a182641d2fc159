"""Opens what planning reads: the registry and the bundles."""

from collections.abc import Sequence

from services.adapters.sql.engine import connect
from services.adapters.sql.model_registry import SqlModelRegistry
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion
from services.inference.loading import load_bundle
from services.inference.planning.measure import measured
from services.settings import Settings


def figures(settings: Settings, versions: Sequence[ModelVersion]) -> dict[ModelVersion, dict[str, float]]:
    """Of each version; raises UnknownVersion, BundleBroken and CatalogDown."""
    registry, bundles = SqlModelRegistry(connect(settings.database_url), SystemClock()), open_bundles(settings)
    found = {}
    for version in versions:
        model = load_bundle(bundles, registry.get(version))
        found[version] = measured(model, settings.train.seed)
    return found
