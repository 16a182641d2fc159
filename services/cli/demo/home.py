"""The demo's home folder: emptied before each run if a demo made it, never touched if anything else did."""

import shutil
from pathlib import Path
from typing import Final

from deploy.embedded import demo_marker, leftovers, lock, state
from services.domain.errors import InvalidSettings, StartFailed
from services.settings import Settings

KEPT: Final = {lock.FILE, demo_marker.FILE}  # held while emptying; and half emptied, it is still the demo's


def prepare_home(settings: Settings) -> None:
    """Empties and marks the home; raises InvalidSettings or StartFailed when the demo may not use it.

    What a killed demo left running is ended first: its processes would go on writing where the next demo starts.
    """
    _refuse_external_stores(settings)
    home = settings.home_folder
    _refuse_data_of_others(home)
    with lock.hold(home):
        _refuse_data_of_others(home)  # a stack may have been started and stopped since
        leftovers.end_all(state.read(home))
        try:
            _empty(home)
            demo_marker.write(home)
        except OSError as error:
            raise StartFailed(
                f"{home} cannot be written ({error.strerror}); name a folder of yours in NIGHTJAR_HOME."
            ) from error


def _refuse_data_of_others(home: Path) -> None:
    if home.is_dir() and not demo_marker.is_set(home) and any(entry.name not in KEPT for entry in home.iterdir()):
        raise InvalidSettings(
            f"{home} holds data that no demo made, or that became yours when `nightjar up` ran there. Name another "
            "folder, such as NIGHTJAR_HOME=.nightjar-demo, or delete that one if you need nothing of it."
        )


def _empty(home: Path) -> None:
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in KEPT:
            entry.unlink()


def _refuse_external_stores(settings: Settings) -> None:
    named = {
        "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "NIGHTJAR_REDIS__URL": settings.redis.url,
        "NIGHTJAR_DATABASE__URL": settings.database.url,
    }
    external = [name for name, value in named.items() if value is not None]
    if external:
        raise InvalidSettings(f"The demo fills its own stores, never yours; unset {' and '.join(external)} for it.")
