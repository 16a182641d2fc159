"""`nightjar models keygen` and `sign`: the keys that bundles are signed with, and signing one that is there already."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from services import logs
from services.adapters.bundle_signatures import new_secret, public_half
from services.bundle_wiring import open_bundles
from services.domain.errors import InvalidRequest, InvalidSettings
from services.domain.ids import ModelVersion
from services.domain.signing_keys import key_id, public_text, secret_text
from services.settings import PREFIX, load

SIGNING_KEY = f"{PREFIX}BUNDLES__SIGNING_KEY"
TRUSTED_KEYS = f"{PREFIX}BUNDLES__TRUSTED_KEYS"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def keygen(
    secret_file: Annotated[
        Path | None, typer.Option(help="Write the secret key to this new file instead of printing it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Makes a new pair of keys for signing bundles, and says which setting each goes to. Changes nothing else.

    Example: nightjar models keygen --secret-file signing.key
    """
    secret = new_secret()
    public = public_half(secret)
    if secret_file is None:
        name, value = SIGNING_KEY, secret_text(secret)
    else:
        _write_secret(secret_file, secret_text(secret))
        name, value = f"{SIGNING_KEY}_FILE", str(secret_file.absolute())
    trusted = json.dumps([public_text(public)])
    if as_json:
        typer.echo(json.dumps({"key_id": key_id(public), name: value, TRUSTED_KEYS: trusted}))
        return
    typer.echo(f"# Key {key_id(public)}. Where models are trained, and nowhere else; whoever has it can sign:")
    typer.echo(f"{name}={value}")
    typer.echo("# Where models are trained, served and looked at; while keys change, the new one beside the old one:")
    typer.echo(f"{TRUSTED_KEYS}='{trusted}'")


def sign(
    version: Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify the bundle, and sign nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Signs a published bundle with bundles.signing_key, once every file is verified. Its manifest stays as it is.

    For versions from before there was a key, or of an old key. May be repeated. Example: nightjar models sign VERSION
    """
    from services.registry.wiring import open_registry  # a second of imports that keygen spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    model = open_registry(settings).get(ModelVersion(version))
    if settings.bundles.signing_key is None and settings.bundles.signing_key_file is None:
        raise InvalidSettings(f"There is no key to sign with; set {SIGNING_KEY}, or make one: nightjar models keygen")
    open_bundles(settings).sign(model.location, model.digest, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "version": model.version}))
    else:
        typer.echo(f"{model.version} is whole and {'would be' if dry_run else 'is'} signed.")


def _write_secret(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidRequest("--secret-file", f"cannot be a new file: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
