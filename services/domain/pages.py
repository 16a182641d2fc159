"""The token of a page: where a list goes on, and of which list it is. Opaque to callers, small, and checked."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from struct import Struct
from typing import Final

from services.domain.errors import InvalidRequest, PageExpired

MAX_DEPTH: Final = 1_000  # items of all pages. Larger: each page costs more; smaller: lists end early
FORMAT: Final = 1
DIGEST_BYTES: Final = 8
_BODY: Final = Struct(f"<BHQ{DIGEST_BYTES}s{DIGEST_BYTES}s")
_CHECKSUM: Final = Struct("<I")


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. A list is told by who asked for what, and by what it was made of."""

    offset: int = 0
    """How many items come before it."""
    first_asked_us: int = 0
    """When the first page was asked for, where that decides what was shown lately; else 0."""
    request: bytes = b""
    """DIGEST_BYTES of the request's own part of it; empty on the first page, as the next."""
    state: bytes = b""
    """DIGEST_BYTES of model, history, catalog, and what is left out."""

    @property
    def token(self) -> str:
        body = _BODY.pack(FORMAT, self.offset, self.first_asked_us, self.request, self.state)
        return urlsafe_b64encode(body + _CHECKSUM.pack(zlib.crc32(body))).decode().rstrip("=")

    @classmethod
    def of(cls, token: str) -> "Page":
        """Raises InvalidRequest for what is no token, and PageExpired for one of another version of this software."""
        try:
            packed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (UnicodeEncodeError, NotBase64) as error:
            raise InvalidRequest("page_token", "is no token that this service gave") from error
        body, checksum = packed[: -_CHECKSUM.size], packed[-_CHECKSUM.size :]
        if len(packed) <= _CHECKSUM.size or checksum != _CHECKSUM.pack(zlib.crc32(body)):
            raise InvalidRequest("page_token", "is no token that this service gave")
        if body[0] != FORMAT or len(body) != _BODY.size:
            raise PageExpired("The page token is of another version of the service; ask for the first page again.")
        _, offset, first_asked_us, request, state = _BODY.unpack(body)
        if not 0 < offset < MAX_DEPTH:
            raise InvalidRequest("page_token", "is no token that this service gave")
        return cls(offset, first_asked_us, request, state)
