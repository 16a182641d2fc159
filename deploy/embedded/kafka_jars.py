"""Kafka's jars: resolved once by jgo into the cache folder, found again from one small file."""

import fcntl
import json
from pathlib import Path

from services.domain.errors import MissingDependency

KAFKA_VERSION = "4.1.1"
# The logging facade needs a voice: without slf4j-simple a broker that refuses to start says nothing.
_VOICE = "org.slf4j:slf4j-simple:1.7.36"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+{_VOICE}"
TOOLS_COORDINATES = f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}+{_VOICE}"
"""Kafka's own command line tools, such as the console producer. The stack needs none; the tests send with them."""


def class_path(cache: Path, coordinates: str = COORDINATES) -> str:
    """The class path of Kafka, fetched the first time (some 40 MB); processes that ask at once wait for one another.

    Raises MissingDependency when the jars are not cached and cannot be fetched.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    jars = cached_jars(cache, coordinates)
    if jars is None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            jars = cached_jars(cache, coordinates) or _resolve(folder, coordinates)
    return ":".join(map(str, jars))


def cached_jars(cache: Path, coordinates: str = COORDINATES) -> list[Path] | None:
    """The jars of an earlier resolution, or None when there was none or a file of it is gone."""
    try:
        names = json.loads(_list_file(cache / f"kafka-{KAFKA_VERSION}", coordinates).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    jars = [Path(name) for name in names]
    return jars if jars and all(jar.is_file() for jar in jars) else None


def _list_file(folder: Path, coordinates: str) -> Path:
    # Named by the coordinates, so that another version of this project resolves its own.
    return folder / f"{coordinates.replace(':', '_')}.json"


def _resolve(folder: Path, coordinates: str) -> list[Path]:
    try:
        import jgo
    except ImportError as error:
        raise MissingDependency(
            "Kafka's jars are fetched by jgo, which is not installed: pip install 'nightjar-server[embedded]', "
            "or set NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS to a Kafka of your own."
        ) from error
    try:
        built = Path(jgo.build(coordinates, cache_dir=folder).path)
    except Exception as error:  # jgo has no root error: the network, a mirror, or a broken file may be at fault
        raise MissingDependency(
            f"Kafka's jars cannot be fetched ({error}); check the network, or set NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS "
            "to a Kafka of your own."
        ) from error
    # jgo sorts jars by whether they are Java modules; Kafka wants them all on the class path.
    jars = sorted((built / "jars").glob("*.jar")) + sorted((built / "modules").glob("*.jar"))
    partial = _list_file(folder, coordinates).with_suffix(".partial")
    partial.write_text(json.dumps([str(jar) for jar in jars]), encoding="utf-8")
    partial.replace(_list_file(folder, coordinates))
    return jars
