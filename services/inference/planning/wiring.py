"""Opens what planning reads: the registry and the bundles."""

from collections.abc import Sequence

from services.adapters.sql.engine import connect
from services.adapters.sql.model_registry import SqlModelRegistry
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion
from services.inference.loading import load_bundle
from services.inference.planning.measure import measured, plan_of
from services.settings import Settings


def figures(
    settings: Settings, versions: Sequence[ModelVersion]
) -> tuple[list[str], dict[ModelVersion, dict[str, float]]]:
    """The plans by which they are served, and of each version its figures.

    Raises UnknownVersion, BundleBroken and CatalogDown.
    """
    registry, bundles = SqlModelRegistry(connect(settings.database_url), SystemClock()), open_bundles(settings)
    plans, found = set[str](), dict[ModelVersion, dict[str, float]]()
    for version in versions:
        model = load_bundle(bundles, registry.get(version))
        plans.add(plan_of(model.manifest))
        found[version] = measured(model, settings.train.seed)
    return sorted(plans), found
