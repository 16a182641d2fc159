"""The keys that sign bundles, as text: two prefixes, so that the secret half is never taken for the public one.

Ed25519 (RFC 8032): the secret half is a seed of 32 bytes that training alone holds, the public half 32 bytes that every
reader may know. Both are written as base64 behind their prefix. No message here ever holds a key.
"""

import base64
from hashlib import sha256
from typing import Final

SECRET_PREFIX: Final = "ed25519-secret:"  # noqa: S105 - what stands before one
PUBLIC_PREFIX: Final = "ed25519-public:"
KEY_BYTES: Final = 32


def secret_key(text: str) -> bytes:
    """The seed; raises ValueError, which does not repeat the text."""
    return _key(text, SECRET_PREFIX)


def public_key(text: str) -> bytes:
    """Raises ValueError, also for the secret half, which has no business where public keys stand."""
    if text.strip().startswith(SECRET_PREFIX):
        raise ValueError(f"that is the secret half of a key; readers need the other one, {PUBLIC_PREFIX}...")
    return _key(text, PUBLIC_PREFIX)


def secret_text(seed: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(seed).decode("ascii")


def public_text(key: bytes) -> str:
    return PUBLIC_PREFIX + base64.b64encode(key).decode("ascii")


def key_id(public: bytes) -> str:
    """A short name for a public key, 16 hexadecimal digits, to find it among several; proves nothing."""
    return sha256(public).hexdigest()[:16]


def _key(text: str, prefix: str) -> bytes:
    try:
        key = base64.b64decode(text.strip().removeprefix(prefix), validate=True)
    except ValueError:
        key = b""
    if not text.strip().startswith(prefix) or len(key) != KEY_BYTES:
        raise ValueError(f"a key is {prefix} and {KEY_BYTES} bytes in base64; `nightjar models keygen` makes a pair")
    return key
