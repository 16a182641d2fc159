"""What became of a version, and where it came from, as the registry tells it."""

from services.domain.errors import UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model
from services.domain.ports import ModelRegistry
from services.registry.history import MAX_CHANGES

MAX_PARENTS = 100  # larger: a long walk; smaller: the training from nothing of a quarter ago is not reached


def ancestors(registry: ModelRegistry, model: Model) -> list[ModelVersion]:
    """What its training started from, what that started from, and so on; the last one may be known no more."""
    found: list[ModelVersion] = []
    parent = model.parent
    while parent is not None and parent not in found and len(found) < MAX_PARENTS:
        found.append(parent)
        try:
            parent = registry.get(parent).parent
        except UnknownVersion:
            break
    return found


def changes_to(registry: ModelRegistry, version: ModelVersion) -> list[Assignment]:
    """When it was made live, by whom and why, newest first."""
    return [each for each in registry.assignments(MAX_CHANGES) if each.version == version]
