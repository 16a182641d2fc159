"""Every setting of every process: one frozen object, from the environment (prefix `NIGHTJAR_`, `__` between levels)
and an optional TOML file (`NIGHTJAR_CONFIG`, else `nightjar.toml` in the working folder when it exists).

Built once per process, in its `wiring.py` or in the CLI; use cases receive the few values they need. The environment
wins over the file. Nothing else reads the environment.

A section or a few are a file: bundles, stores, ingest, gateway, serving, training, gate, night; `root` puts them
together.
"""

from services.settings.bundles import BundleSettings
from services.settings.gate import GateSettings
from services.settings.gateway import GatewaySettings
from services.settings.ingest import EventTypeSettings, IngestSettings
from services.settings.log import LogSettings
from services.settings.night import NightSettings
from services.settings.root import PREFIX, Settings, load
from services.settings.serving import ServeSettings, SwapSettings
from services.settings.stores import DatabaseSettings, KafkaSettings, RedisSettings
from services.settings.training import ScheduleSettings, TrainSettings

__all__ = [
    "PREFIX",
    "BundleSettings",
    "DatabaseSettings",
    "EventTypeSettings",
    "GateSettings",
    "GatewaySettings",
    "IngestSettings",
    "KafkaSettings",
    "LogSettings",
    "NightSettings",
    "RedisSettings",
    "ScheduleSettings",
    "ServeSettings",
    "Settings",
    "SwapSettings",
    "TrainSettings",
    "load",
]
