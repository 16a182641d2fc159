"""Where the outside systems are, and what is kept in them: Kafka, Redis, the catalog database."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.settings.section import Section


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


class KafkaSettings(Section):
    bootstrap_servers: Annotated[str, AfterValidator(_broker_addresses)] | None = None
    """host:port of your cluster, several separated by commas. Unset: `nightjar up` starts Kafka itself."""
    embedded_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Kafka that `nightjar up` starts; 0 picks a free one and remembers it."""
    embedded_heap_mib: int = Field(default=512, ge=128, le=65536)
    """Java heap of that Kafka, MiB. Smaller: it may run out under load; larger: memory taken from training."""
    events_topic: str = Field(default="nightjar.events.v1", min_length=1, max_length=200)
    """Topic of the events; its dead letters go to the same name with `.dlq` behind."""
    items_topic: str = Field(default="nightjar.items.v1", min_length=1, max_length=200)
    """Compacted topic of the items; dead letters as above."""
    users_topic: str = Field(default="nightjar.users.v1", min_length=1, max_length=200)
    """Compacted topic of the users; dead letters as above."""
    num_partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of the events topic when the project creates it; the most writers of one kind that can share work."""
    consumer_group_prefix: str = Field(default="nightjar", min_length=1, max_length=100)
    """Consumer groups are `<prefix>-offline`, `<prefix>-online`, `<prefix>-catalog` and `<prefix>-users`."""


class RedisSettings(Section):
    url: Annotated[SecretStr, AfterValidator(_redis_address)] | None = None
    """redis://, rediss:// or unix:// address of your Redis or Valkey. Unset: `nightjar up` starts one itself."""
    embedded_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Redis that `nightjar up` starts; 0 picks a free one and remembers it."""
    max_history: int = Field(default=200, ge=1, le=10_000)
    """Events kept for each user, newest first to stay."""
    max_consumed: int = Field(default=2_000, ge=1, le=100_000)
    """Consumed items kept for each user; an item beyond them may be recommended again."""
    max_shown: int = Field(default=500, ge=1, le=100_000)
    """Shown items kept for each user, those shown last; an older showing is forgotten."""
    history_ttl_s: int = Field(default=180 * 86_400, ge=60)
    """Seconds after a user's last event until what serving knows of them is forgotten."""
    trending_half_life_s: float = Field(default=6 * 3_600.0, ge=60, le=366 * 86_400)
    """Seconds after which an event counts half in what is trending; popular uses each event type's own half-life."""
    counter_max_items: int = Field(default=10_000, ge=100, le=10_000_000)
    """Items kept in each counter, the strongest. Smaller: rare items are in no list; larger: memory."""
    counter_max_surfaces: int = Field(default=16, ge=0, le=1_000)
    """Surfaces with counters of their own; events on others count in the whole alone."""
    counter_dedupe_offsets: int = Field(default=50_000, ge=1, le=10_000_000)
    """An event id counts once among this many records of its partition. Larger: about 80 bytes each."""
    cache_ttl_s: int = Field(default=600, ge=1, le=86_400)
    """Seconds until a cached answer is forgotten."""
    timeout_s: float = Field(default=0.25, gt=0, le=30)
    """Longest wait for an answer while serving, seconds; past it the reply is degraded."""


class DatabaseSettings(Section):
    url: SecretStr | None = None
    """SQLAlchemy URL of the catalog database, such as postgresql+psycopg://user:pw@host/db. Unset: SQLite in home."""
