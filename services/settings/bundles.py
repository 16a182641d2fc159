"""Where published bundles are kept, and who has to have signed them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from services.domain.signing_keys import public_key, secret_key
from services.settings.section import Section

SCHEMES: Final = ("s3://", "gs://", "az://", "file:///")


def _address(url: str) -> str:
    if not url.startswith(SCHEMES):
        raise ValueError(f"the address must begin with one of {', '.join(SCHEMES)}")
    return url.rstrip("/")


def _signing_key(key: SecretStr) -> SecretStr:
    secret_key(key.get_secret_value())
    return key


def _trusted_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    for key in keys:
        public_key(key)
    return keys


class BundleSettings(Section):
    url: Annotated[str, AfterValidator(_address)] | None = None
    """Object storage of the bundles: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or file:///folder
    for a mounted one. Training and every replica need the same. Unset: the folder `bundles` in home."""
    options: Mapping[str, SecretStr] = {}
    """How to reach it, by the names that delta-rs knows too, such as endpoint, region, access_key_id,
    secret_access_key, allow_http. The rest comes from the environment as usual: AWS_..., AZURE_..., GOOGLE_..."""
    cached_versions: int = Field(default=5, ge=1, le=1_000)
    """Versions of the object storage kept on this host, those used last; one in use stays beside them. Smaller: a
    rollback to an older one fetches it again; larger: disk."""
    keep_newest: int = Field(default=10, ge=1, le=10_000)
    """Newest versions whose bundles clean-up keeps, whatever came of them. It also keeps what log.keep_models and
    log.keep_candidates_days name, what is pinned, and what these started from. Larger: disk; smaller: a training finds
    nothing to start from after bad nights."""
    signing_key: Annotated[SecretStr, AfterValidator(_signing_key)] | None = None
    """The secret key that training signs bundles with; `nightjar models keygen` makes one. Unset: it signs nothing."""
    signing_key_file: Path | None = None
    """A file that holds it, instead."""
    trusted_keys: Annotated[tuple[str, ...], AfterValidator(_trusted_keys)] = ()
    """Public keys, a TOML array or JSON. A bundle that none of them signed is refused. Empty, and no file: all are
    trusted. Several: one is being replaced by another."""
    trusted_keys_file: Path | None = None
    """A file that holds more of them, one a line; a line that begins with # is a comment."""

    @model_validator(mode="after")
    def _one_signing_key(self) -> Self:
        if self.signing_key is not None and self.signing_key_file is not None:
            raise ValueError("signing_key and signing_key_file are both set; keep one")
        return self
