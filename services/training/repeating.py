"""A run that repeats another: the settings, the data and the start of a version, as the registry has kept them (law 5).

What it cannot bring back: the item catalog, which is as it is now; users who asked to be forgotten since; libraries,
threads and hardware; and the moment at which train.max_seconds ended a run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from services.domain.errors import EventLogDown, InvalidRequest, TrainingFailed, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.plans import PlanTable
from services.domain.ports import ModelRegistry
from services.settings import Settings, TrainSettings
from services.settings.ingest import EventTypeSettings
from services.training.asked import Asked
from services.training.code_version import code_version
from services.training.start import Starting

REPEAT: Final = "--repeat"
_EVENT_TYPES: Final = TypeAdapter(tuple[EventTypeSettings, ...])

log = structlog.get_logger(__name__)


def settings_of(settings: Settings, model: Model, *, any_code: bool) -> Settings:
    """These settings with the version's own of training and event types.

    Raises InvalidRequest when nobody kept them, this release knows them no more, or, unless any_code, this code is
    another than the version's.
    """
    told = model.provenance
    if "train" not in told.configuration:
        raise InvalidRequest(REPEAT, f"names {model.version}, which an older release registered without its settings")
    if (ours := code_version()) != told.code_version:
        if not any_code:
            raise InvalidRequest(
                REPEAT,
                f"names {model.version}, which the code {told.code_version} trained, and this is {ours}; install that "
                "one, or say --any-code and expect other figures",
            )
        log.warning("repeated_by_other_code", version=model.version, trained_by=told.code_version, code_version=ours)
    try:
        train = TrainSettings.model_validate(told.configuration["train"])
        event_types = _EVENT_TYPES.validate_python(told.configuration["event_types"])
    except (ValidationError, KeyError) as error:
        what = str(error).replace("\n", "; ")
        raise InvalidRequest(
            REPEAT, f"names {model.version}, whose settings this release does not know: {what}"
        ) from error
    if "plans" in told.configuration:  # which plan costs least is a matter of the machine, and of that day
        chosen = PlanTable.from_document(told.configuration["plans"]).chosen.precision
        train = train.model_copy(update={"plan": chosen.value})
    return settings.model_copy(update={"train": train, "event_types": event_types})


def asked_of(model: Model, asked: Asked) -> Asked:
    """The same events."""
    until_us: Any = model.provenance.configuration.get("until_us")
    return replace(asked, data_version=model.data_version, until_us=until_us)


def start_of(registry: ModelRegistry, version: ModelVersion, starting: Starting) -> Starting:
    """From nothing, or from exactly the version that it started from, whatever the gate said of that since.

    Raises UnknownVersion when that one was forgotten.
    """
    parent = registry.get(version).parent
    if parent is None:
        return replace(starting, mode="full")
    from_it = replace(registry.get(parent), verdict=None)
    return replace(starting, mode="incremental", newest=lambda _: [from_it], repeats=True)


@contextmanager
def that_needs_its_log(asked: Asked) -> Iterator[None]:
    """Says what it means for a repetition that its version of the log is gone; raises TrainingFailed."""
    try:
        yield
    except (UnknownVersion, EventLogDown) as error:
        if asked.repeats is None:
            raise
        raise TrainingFailed(
            f"{asked.repeats} cannot be trained again, since version {asked.data_version} of the log, which it learned "
            f"from, is gone or cannot be read; what is pinned is kept (`nightjar models pin`). {error}"
        ) from error
