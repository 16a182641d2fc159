"""Every setting of every process: one frozen object, from the environment (prefix `NIGHTJAR_`, `__` between levels)
and an optional TOML file (`NIGHTJAR_CONFIG`, else `nightjar.toml` in the working folder when it exists).

Built once per process, in its `wiring.py` or in the CLI; use cases receive the few values they need. The environment
wins over the file. Nothing else reads the environment.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from services.domain.errors import InvalidSettings
from services.domain.interactions import DEFAULT_EVENT_TYPES, EventType, EventTypes, Role

PREFIX = "NIGHTJAR_"
CONFIG_VARIABLE = "NIGHTJAR_CONFIG"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone name such as 'Europe/Berlin'") from error
    return name


def _known_crontab(expression: str) -> str:
    from services.crontab import night_trigger  # its library is slow to import

    night_trigger(expression, "UTC")
    return expression


def _broker_addresses(servers: str) -> str:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{server!r} is not host:port")
    return servers


def _redis_address(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("the address must begin with redis://, rediss:// or unix://")
    return url


class KafkaSettings(_Section):
    bootstrap_servers: Annotated[str, AfterValidator(_broker_addresses)] | None = None
    """host:port of your cluster, several separated by commas. Unset: `nightjar up` starts Kafka itself."""
    embedded_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Kafka that `nightjar up` starts; 0 picks a free one and remembers it."""
    embedded_heap_mib: int = Field(default=512, ge=128, le=65536)
    """Java heap of that Kafka, MiB. Smaller: it may run out under load; larger: memory taken from training."""
    events_topic: str = Field(default="nightjar.events.v1", min_length=1, max_length=200)
    """Topic of the events; its dead letters go to the same name with `.dlq` behind."""
    items_topic: str = Field(default="nightjar.items.v1", min_length=1, max_length=200)
    """Compacted topic of the items."""
    num_partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of the events topic when the project creates it; the most writers of one kind that can share work."""
    consumer_group_prefix: str = Field(default="nightjar", min_length=1, max_length=100)
    """Consumer groups are `<prefix>-offline`, `<prefix>-online` and `<prefix>-catalog`."""


class RedisSettings(_Section):
    url: Annotated[SecretStr, AfterValidator(_redis_address)] | None = None
    """redis://, rediss:// or unix:// address of your Redis or Valkey. Unset: `nightjar up` starts one itself."""
    embedded_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Redis that `nightjar up` starts; 0 picks a free one and remembers it."""
    max_history: int = Field(default=200, ge=1, le=10_000)
    """Events kept for each user, newest first to stay."""
    max_consumed: int = Field(default=2_000, ge=1, le=100_000)
    """Consumed items kept for each user; an item beyond them may be recommended again."""
    history_ttl_s: int = Field(default=180 * 86_400, ge=60)
    """Seconds after a user's last event until what serving knows of them is forgotten."""
    cache_ttl_s: int = Field(default=600, ge=1, le=86_400)
    """Seconds until a cached answer is forgotten."""
    timeout_s: float = Field(default=0.25, gt=0, le=30)
    """Longest wait for an answer while serving, seconds; past it the reply is degraded."""


class DatabaseSettings(_Section):
    url: SecretStr | None = None
    """SQLAlchemy URL of the catalog database, such as postgresql+psycopg://user:pw@host/db. Unset: SQLite in home."""


class IngestSettings(_Section):
    max_record_bytes: int = Field(default=65_536, ge=1_024, le=1_000_000)
    """A larger record goes to the dead letters, bytes."""
    commit_rows: int = Field(default=50_000, ge=1, le=5_000_000)
    """Rows after which the offline writer commits. Larger: fewer files, more memory."""
    commit_interval_s: float = Field(default=10.0, gt=0, le=3_600)
    """Longest time a row waits for its commit, seconds. Smaller: more and smaller files."""
    dedupe_window_s: int = Field(default=7 * 86_400, ge=0, le=366 * 86_400)
    """How far behind the newest event_time in the log ids are read back after a restart, seconds; 0 reads none."""
    dedupe_max_ids: int = Field(default=2_000_000, ge=0, le=1_000_000_000)
    """Event ids remembered at most, the newest by event_time stay; about 130 bytes each. 0 finds no duplicates."""
    max_future_s: int = Field(default=86_400, ge=0, le=366 * 86_400)
    """How far in the future an event_time may lie, seconds."""
    max_consecutive_dead: int = Field(default=10_000, ge=1)
    """Dead records in a row after which the offline writer stops: then the producer is broken, not a record."""


class ServeSettings(_Section):
    host: str = "127.0.0.1"
    """Address the gRPC service listens on; 0.0.0.0 for all."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port of the gRPC service; 0 picks a free one."""
    num_workers: int = Field(default=2, ge=1, le=256)
    """Worker processes that share the port."""
    poll_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often a worker asks the database for the live model when no notice came, seconds."""
    drain_s: float = Field(default=5.0, ge=0, le=600)
    """How long running calls may take to finish at a stop, seconds."""


class TrainSettings(_Section):
    kind: Literal["sequence", "popularity"] = "sequence"
    """The model kind to train."""
    dim: int = Field(default=64, ge=4, le=4096, multiple_of=4)
    """Dimension of user and item vectors."""
    num_blocks: int = Field(default=1, ge=1, le=24)
    """Transformer blocks."""
    num_heads: int = Field(default=2, ge=1, le=64)
    """Attention heads; must divide dim into even parts."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout probability while training."""
    max_history: int = Field(default=100, ge=1, le=2048)
    """Events of a user the model looks at, the newest ones."""
    batch_users: int = Field(default=16, ge=1, le=65_536)
    """Windows of a user's history in one optimiser step."""
    learning_rate: float = Field(default=3e-3, gt=0, lt=1)
    """Peak learning rate of AdamW; it warms up briefly, then falls to 0 over max_epochs."""
    weight_decay: float = Field(default=0.01, ge=0, lt=10)
    """Weight decay of AdamW, not on embeddings and norms."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over the whole catalogue; 0 is off."""
    max_epochs: int = Field(default=6, ge=1, le=10_000)
    """Epochs at most; the learning rate falls to 0 over them. Training stops earlier when validation gets worse."""
    patience: int = Field(default=3, ge=1, le=1_000)
    """Epochs without a better validation NDCG@10 before training stops."""
    holdout_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the events, the last in time, that are held out to measure the model."""
    validation_fraction: float = Field(default=0.05, gt=0, lt=0.9)
    """Share of the events before the holdout, the last in time, that say when to stop training."""
    min_item_events: int = Field(default=1, ge=1)
    """Items with fewer events in the part the model learns from are left out of the vocabulary."""
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    """Seed of everything random in a run."""
    max_seconds: float = Field(default=3_600.0, gt=0)
    """Training stops after the epoch in which this many seconds have passed."""

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % (2 * self.num_heads):
            raise ValueError(f"num_heads ({self.num_heads}) must divide dim ({self.dim}) into even parts")
        return self


class GateSettings(_Section):
    min_gain_over_popularity: float = Field(default=0.0, ge=-1, le=1)
    """The lower end of the interval of NDCG@10 minus popularity's must be above this."""
    min_coverage: float = Field(default=0.01, ge=0, le=1)
    """Least share of the catalogue that appears in somebody's top 10."""
    min_holdout_users: int = Field(default=30, ge=1, le=10_000_000)
    """Least users in the holdout. Smaller: the interval rests on so few that chance passes a model; 1 is off."""


class ScheduleSettings(_Section):
    nightly_cron: Annotated[str, AfterValidator(_known_crontab)] = "0 2 * * *"
    """When the nightly run starts: minute hour day month weekday."""
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = "UTC"
    """The time zone of that cron expression."""
    misfire_grace_s: int = Field(default=3_600, ge=1)
    """A run missed by at most this many seconds still starts, e.g. after a restart; several missed start one."""
    train_timeout_s: int = Field(default=6 * 3_600, ge=1)
    """Seconds after which a training process is ended, with everything it started."""


class EventTypeSettings(_Section):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    """The word producers put into Event.type."""
    role: Role
    """impression, positive, negative or neutral."""
    weight: float = Field(default=1.0, ge=-100, le=100)
    """How much one such event says; 1.0 is a plain view."""
    consumes: bool = False
    """True when the item is not recommended to that user again."""


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
    event_types: tuple[EventTypeSettings, ...] = tuple(
        EventTypeSettings(name=kind.name, role=kind.role, weight=kind.weight, consumes=kind.consumes)
        for kind in DEFAULT_EVENT_TYPES.declared
    )
    """The operator's words for what users do; a TOML array or JSON."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = DatabaseSettings()
    ingest: IngestSettings = IngestSettings()
    serve: ServeSettings = ServeSettings()
    train: TrainSettings = TrainSettings()
    gate: GateSettings = GateSettings()
    schedule: ScheduleSettings = ScheduleSettings()

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
        """Published model bundles, one folder a version."""
        return self.home_folder / "bundles"

    @property
    def live_bundle_file(self) -> Path:
        """Which bundle served last on this host; what a worker starts from while the database is away."""
        return self.home_folder / "run" / "live-model.json"

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.home_folder / 'catalog.db'}"

    def declared_event_types(self) -> EventTypes:
        return EventTypes(EventType(kind.name, kind.role, kind.weight, kind.consumes) for kind in self.event_types)


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
    """The value at fault, unless it may hold a secret: an address may, and so may whole sections."""
    if "url" in location or not isinstance(value, str | int | float):
        return ""
    return f" (got {value!r})"


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in location).upper() if location else "several settings"
