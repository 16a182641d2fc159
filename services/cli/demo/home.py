"""The demo's home folder: emptied before each run if a demo made it, never touched if anything else did."""

import json
import shutil
from datetime import UTC, datetime
from typing import Final

from deploy.embedded import state
from services.domain.errors import InvalidSettings, StartFailed
from services.settings import Settings

MARKER: Final = "demo.json"


def prepare_home(settings: Settings) -> None:
    """Empties and marks the home; raises InvalidSettings or StartFailed when the demo may not use it."""
    _refuse_external_stores(settings)
    home = settings.home_folder
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).is_file():
            raise InvalidSettings(
                f"{home} holds data that no demo made; name another folder, such as NIGHTJAR_HOME=.nightjar-demo."
            )
        if state.read(home).running:
            raise StartFailed(f"A stack is running in {home}; stop it with `nightjar down`, then start the demo again.")
        shutil.rmtree(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / MARKER).write_text(json.dumps({"start_time": datetime.now(UTC).isoformat()}), encoding="utf-8")
    except OSError as error:
        raise StartFailed(
            f"{home} cannot be written ({error.strerror}); name a folder of yours in NIGHTJAR_HOME."
        ) from error


def _refuse_external_stores(settings: Settings) -> None:
    named = {
        "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "NIGHTJAR_REDIS__URL": settings.redis.url,
        "NIGHTJAR_DATABASE__URL": settings.database.url,
    }
    external = [name for name, value in named.items() if value is not None]
    if external:
        raise InvalidSettings(f"The demo fills its own stores, never yours; unset {' and '.join(external)} for it.")
