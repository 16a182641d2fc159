"""Keys made from a number, so that a failure looks the same every time."""

from services.adapters.bundle_signatures import Ed25519Signatures, public_half
from services.domain.signing_keys import public_text, secret_text


def seed(number: int) -> bytes:
    return bytes([number]) * 32


def signatures(signing: int | None, *trusted: int) -> Ed25519Signatures:
    """Signs with the key of a number, None: with none; trusts the keys of the others."""
    return Ed25519Signatures(None if signing is None else seed(signing), [public_half(seed(each)) for each in trusted])


def secret(number: int) -> str:
    """As settings name it."""
    return secret_text(seed(number))


def public(number: int) -> str:
    return public_text(public_half(seed(number)))
