"""Who published a bundle: a signature over the bytes of its manifest, which holds the sums of all its files.

It lies beside the manifest as `manifest.sig`, one line: the algorithm, the id of the key, the signature in base64. It
is no part of what is immutable: a bundle may be signed later, or anew with another key. The library is imported only
where a key is set.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from services.domain.bundles import MANIFEST, SIGNATURE
from services.domain.errors import BundleBroken, InvalidSettings, MissingDependency
from services.domain.signing_keys import KEY_BYTES, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM: Final = "ed25519"
PURPOSE: Final = b"nightjar bundle manifest 1\n"
"""Signed before the manifest, so that no signature the key gave for anything else passes for one."""


class Signatures(Protocol):
    """What a bundle store asks when it publishes and when it fetches."""

    def sign(self, manifest: bytes) -> bytes | None:
        """What goes into manifest.sig; None where nothing is signed."""
        ...

    def check(self, where: str, manifest: bytes, signature: bytes | None) -> None:
        """Raises BundleBroken, naming `where`, unless a trusted key signed the manifest, or none has to."""
        ...


class Unsigned:
    """Signs nothing and trusts everything that has the right sums."""

    def sign(self, manifest: bytes) -> bytes | None:  # noqa: ARG002 - the port's signature
        return None

    def check(self, where: str, manifest: bytes, signature: bytes | None) -> None:
        """Nothing to hold a bundle against."""


class Ed25519Signatures:
    """Signs with one key, trusts several: while keys are changed both the old and the new one are trusted."""

    def __init__(self, secret: bytes | None, trusted: Sequence[bytes]) -> None:
        """secret: a seed of 32 bytes, None: signs nothing. trusted: public keys, none: everything is trusted.

        Raises InvalidSettings when its own signature would be refused, ValueError for a public key that is no point of
        the curve, and MissingDependency without the library.
        """
        self._secret = None if secret is None else _private(secret)
        self._trusted: Mapping[str, Ed25519PublicKey] = {key_id(each): _public(each) for each in trusted}
        self._own_id = "" if secret is None else key_id(public_half(secret))
        if self._secret is not None and self._trusted and self._own_id not in self._trusted:
            raise InvalidSettings(
                "bundles.signing_key is not the other half of any key in bundles.trusted_keys, so that every model it "
                "signed would be refused; add its public half there first"
            )

    def sign(self, manifest: bytes) -> bytes | None:
        if self._secret is None:
            return None
        signature = base64.b64encode(self._secret.sign(PURPOSE + manifest)).decode("ascii")
        return f"{ALGORITHM} {self._own_id} {signature}\n".encode()

    def check(self, where: str, manifest: bytes, signature: bytes | None) -> None:
        if not self._trusted:
            return
        if signature is None:
            raise BundleBroken(
                f"{where} is not signed: it has no {SIGNATURE}, and bundles.trusted_keys is set; if you know where it "
                "comes from, sign it with `nightjar models sign VERSION`"
            )
        signer, signed = _parsed(where, signature)
        if signer not in self._trusted:
            raise BundleBroken(
                f"{SIGNATURE} of {where} is by the key {signer}, which is not among bundles.trusted_keys "
                f"({', '.join(sorted(self._trusted))})"
            )
        if not _is_by(self._trusted[signer], signed, PURPOSE + manifest):
            raise BundleBroken(f"{SIGNATURE} of {where} does not match its {MANIFEST}: one of them was altered")


def new_secret() -> bytes:
    """A seed of 32 bytes that nobody can guess."""
    return secrets.token_bytes(KEY_BYTES)


def public_half(secret: bytes) -> bytes:
    """The 32 bytes that readers may know; raises MissingDependency."""
    return _private(secret).public_key().public_bytes_raw()


def _parsed(where: str, signature: bytes) -> tuple[str, bytes]:
    try:
        algorithm, signer, encoded = signature.decode("ascii").split()
        signed = base64.b64decode(encoded, validate=True)
    except ValueError:
        algorithm, signer, signed = "", "", b""
    if algorithm != ALGORITHM:
        raise BundleBroken(f"{SIGNATURE} of {where} is no signature that this version reads")
    return signer, signed


def _private(seed: bytes) -> "Ed25519PrivateKey":
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _public(key: bytes) -> "Ed25519PublicKey":
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key)


def _is_by(key: "Ed25519PublicKey", signed: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signed, message)
    except InvalidSignature:
        return False
    return True


def _require_library() -> None:
    if find_spec("cryptography") is None:
        raise MissingDependency("Signed bundles need a library: pip install 'nightjar-server[signing]'")
