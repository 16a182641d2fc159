"""A signature holds for one manifest and one key, and a refusal says what to do about it."""

import base64

import pytest

from services.adapters.bundle_signatures import Unsigned, new_secret, public_half
from services.domain.errors import BundleBroken, InvalidSettings
from services.domain.signing_keys import key_id, public_key, public_text, secret_key, secret_text
from tests.fakes.signing import public, secret, seed, signatures

MANIFEST = b'{"model_version": "v1"}\n'


def signed_by(number: int) -> bytes:
    signature = signatures(number).sign(MANIFEST)
    assert signature is not None
    return signature


def test_a_reader_holds_no_secret() -> None:
    signatures(None, 1).check("v1", MANIFEST, signed_by(1))


def test_while_keys_change_both_are_trusted() -> None:
    for number in (1, 2):
        signatures(None, 1, 2).check("v1", MANIFEST, signed_by(number))


def test_every_bit_of_the_manifest_is_signed() -> None:
    for place in range(len(MANIFEST)):
        altered = bytearray(MANIFEST)
        altered[place] ^= 1
        with pytest.raises(BundleBroken, match=r"manifest\.sig of v1 does not match its manifest\.json"):
            signatures(None, 1).check("v1", bytes(altered), signed_by(1))


def test_a_key_that_is_not_trusted_is_named() -> None:
    with pytest.raises(BundleBroken, match=f"v1 is by the key {key_id(public_half(seed(3)))}, which is not among"):
        signatures(None, 1, 2).check("v1", MANIFEST, signed_by(3))


def test_claiming_the_name_of_a_trusted_key_helps_nobody() -> None:
    stranger, trusted = (key_id(public_half(seed(number))).encode() for number in (3, 1))
    with pytest.raises(BundleBroken, match="altered"):
        signatures(None, 1).check("v1", MANIFEST, signed_by(3).replace(stranger, trusted))


def test_an_unsigned_bundle_is_refused_with_the_way_out() -> None:
    with pytest.raises(BundleBroken, match=r"v1 is not signed.*nightjar models sign"):
        signatures(None, 1).check("v1", MANIFEST, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"ed25519",
        b"hmac 0123456789abcdef QUJD\n",
        b"ed25519 0123456789abcdef ???\n",
        signed_by(1)[:40],
        signed_by(1) + signed_by(1),
    ],
)
def test_what_is_no_signature_is_refused(content: bytes) -> None:
    with pytest.raises(BundleBroken, match=r"manifest\.sig of v1"):
        signatures(None, 1).check("v1", MANIFEST, content)


def test_a_signature_of_something_else_is_none_of_a_manifest() -> None:
    """The key may sign other things one day; a file of theirs is no bundle."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    other = base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed(1)).sign(MANIFEST)).decode()
    with pytest.raises(BundleBroken, match="altered"):
        signatures(None, 1).check("v1", MANIFEST, f"ed25519 {key_id(public_half(seed(1)))} {other}\n".encode())


def test_without_trusted_keys_everything_passes() -> None:
    """Nobody who never asked for signatures is stopped by one, or by none."""
    for trusting in (signatures(None), signatures(1), Unsigned()):
        for signature in (None, b"nonsense", signed_by(2)):
            trusting.check("v1", MANIFEST, signature)
    assert Unsigned().sign(MANIFEST) is None


def test_who_would_refuse_its_own_models_does_not_start() -> None:
    with pytest.raises(InvalidSettings, match=r"bundles\.signing_key"):
        signatures(1, 2)


def test_keys_survive_being_written_down() -> None:
    assert secret_key(secret(1)) == seed(1)
    assert public_key(f" {public(1)}\n") == public_half(seed(1))
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    "text", ["", "geheim", secret_text(b"short"), secret_text(seed(1))[:-1], public(1), "ed25519-secret:ä"]
)
def test_what_is_no_secret_key_is_said_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="keygen") as error:
        secret_key(text)
    assert not text or text not in str(error.value)


def test_the_secret_half_among_public_keys_is_a_mistake_that_is_caught() -> None:
    with pytest.raises(ValueError, match="secret half"):
        public_key(secret(1))
    with pytest.raises(ValueError, match="keygen"):
        public_key(public_text(b"short"))
