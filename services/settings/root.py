"""All settings of every process as one frozen object, and how it is loaded."""

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from services.domain.errors import InvalidRequest, InvalidSettings
from services.domain.event_types import DEFAULT_EVENT_TYPES, EventTypes
from services.settings import challengers, launchers
from services.settings.bundles import BundleSettings
from services.settings.checks import CheckSettings
from services.settings.gate import GateSettings
from services.settings.gateway import GatewaySettings
from services.settings.ingest import EventTypeSettings, IngestSettings
from services.settings.launchers import KubernetesSettings, LauncherSettings
from services.settings.log import LogSettings
from services.settings.night import NightSettings
from services.settings.serving import ServeSettings, SwapSettings
from services.settings.stores import DatabaseSettings, KafkaSettings, RedisSettings
from services.settings.training import ScheduleSettings, TrainSettings

PREFIX = "NIGHTJAR_"
CONFIG_VARIABLE = "NIGHTJAR_CONFIG"


class Settings(BaseSettings):
    """See the module's head. `load` is the way to build one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    home: Path = Path(".nightjar")
    """The one folder where all local state lives."""
    cache: Path = Path("~/.cache/nightjar")
    """Folder of what can be fetched again: Kafka's jars, sample data. May be shared by several homes."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""
    event_types: tuple[EventTypeSettings, ...] = tuple(map(EventTypeSettings.of, DEFAULT_EVENT_TYPES.declared))
    """The operator's words for what users do; a TOML array or JSON. Declare a new one and train before you send it:
    until the live model knows it, its events take places of redis.max_history from those that the model reads."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = DatabaseSettings()
    ingest: IngestSettings = IngestSettings()
    gateway: GatewaySettings = GatewaySettings()
    serve: ServeSettings = ServeSettings()
    swap: SwapSettings = SwapSettings()
    bundles: BundleSettings = BundleSettings()
    log: LogSettings = LogSettings()
    train: TrainSettings = TrainSettings()
    checks: CheckSettings = CheckSettings()
    gate: GateSettings = GateSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    night: NightSettings = NightSettings()
    launchers: LauncherSettings = LauncherSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()

    @field_validator("event_types")
    @classmethod
    def _event_types_differ(cls, kinds: tuple[EventTypeSettings, ...]) -> tuple[EventTypeSettings, ...]:
        names = [kind.name for kind in kinds]
        if not names or len(set(names)) < len(names):
            raise ValueError("event types must have different names, and there must be at least one")
        return kinds

    @model_validator(mode="after")
    def _serving_keeps_what_the_model_looks_at(self) -> Self:
        """Law 8: serving computes what training saw only if the online store keeps at least as much."""
        if self.train.max_history > self.redis.max_history:
            raise ValueError(
                f"train.max_history ({self.train.max_history}) is larger than redis.max_history "
                f"({self.redis.max_history}); serving would see less of a user than training did"
            )
        return self

    @model_validator(mode="after")
    def _challengers_can_be_trained(self) -> Self:
        """Else a night finds out hours after somebody could have mended it."""
        found = challengers.problems(self.schedule.challengers, self.train, fixed=("holdout_fraction",))
        for each in self.schedule.challengers if not found else ():
            if each.over(self.train).max_history > self.redis.max_history:
                found.append(f"schedule.challengers: {each.name!r}: max_history is larger than redis.max_history")
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _training_can_be_launched(self) -> Self:
        if found := launchers.problems(self.night.launcher, self.kubernetes, self.database, self.bundles):
            raise ValueError("; ".join(found))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file."""
        sources = (init_settings, env_settings)
        path = _config_file()
        return sources if path is None else (*sources, TomlConfigSettingsSource(settings_cls, toml_file=path))

    @property
    def home_folder(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def cache_folder(self) -> Path:
        return self.cache.expanduser().absolute()

    @property
    def log_folder(self) -> Path:
        """The offline log: the Delta Lake table of all events."""
        return self.home_folder / "log" / "events"

    @property
    def bundle_folder(self) -> Path:
        """Published model bundles, one folder a version, unless bundles.url says that they are elsewhere."""
        return self.home_folder / "bundles"

    @property
    def bundle_cache_folder(self) -> Path:
        """The bundles of bundles.url that this host fetched last."""
        return self.home_folder / "cache" / "bundles"

    @property
    def live_bundle_file(self) -> Path:
        """Which bundle served last on this host; what a worker starts from while the database is away."""
        return self.home_folder / "run" / "live-model.json"

    @property
    def loading_lock(self) -> Path:
        """Held by the worker of this home that loads a model beside the requests."""
        return self.home_folder / "run" / "loading.lock"

    @property
    def availability_file(self) -> Path:
        """Which items are hidden or have a window, as last read on this host; as above."""
        return self.home_folder / "run" / "availability.jsonl"

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.home_folder / 'catalog.db'}"

    def of_challenger(self, name: str) -> Self:
        """These settings with the changes of a challenger in `train`; raises InvalidRequest without such a one."""
        for each in self.schedule.challengers:
            if each.name == name:
                return self.model_copy(update={"train": each.over(self.train)})
        there_are = ", ".join(each.name for each in self.schedule.challengers)
        raise InvalidRequest("--challenger", f"must be one of {there_are}, not {name!r}; see schedule.challengers")

    def declared_event_types(self) -> EventTypes:
        return EventTypes(kind.declared() for kind in self.event_types)


def _config_file() -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InvalidSettings(f"NIGHTJAR_CONFIG names {named}, which is not a file; name one or unset it.")
        return Path(named)
    return Path("nightjar.toml") if Path("nightjar.toml").is_file() else None


def load(**overrides: Any) -> Settings:
    """Builds the settings; raises InvalidSettings with every problem listed, one a line."""
    problems = [f"  {name}: no setting has this name" for name in _unknown_variables()]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems += [
            f"  {_variable(problem['loc'])}: {problem['msg']}{_given(problem['loc'], problem.get('input'))}"
            for problem in error.errors()
        ]
    except ValueError as error:
        raise InvalidSettings(f"The settings cannot be read: {error}") from error
    if problems:
        raise InvalidSettings("These settings are wrong; mend them and start again:\n" + "\n".join(problems))
    return settings


def _unknown_variables() -> list[str]:
    """A misspelt variable that does nothing is worse than one that stops the start."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    ours = (name for name in os.environ if name.upper().startswith(PREFIX) and name != CONFIG_VARIABLE)
    return sorted(name for name in ours if name.upper().partition("__")[0] not in known)


def _given(location: tuple[int | str, ...], value: object) -> str:
    """The value at fault, unless it may hold a secret: an address or a key may, and so may whole sections."""
    if {"url", "options", "signing_key", "trusted_keys"}.intersection(location) or not isinstance(
        value, str | int | float
    ):
        return ""
    return f" (got {value!r})"


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in location).upper() if location else "several settings"
