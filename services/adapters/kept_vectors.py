"""Vectors of texts, kept in a file from night to night: a catalogue changes little, and encoding it takes minutes."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from services.domain.ports import TextEncoder

log = structlog.get_logger(__name__)

HASH_BYTES: Final = 16


@dataclass(frozen=True)
class KeptTextEncoder:
    """Fulfils TextEncoder by another one, which is asked only for texts it was not asked for the last time.

    The file holds the texts of the last call alone, so it grows with the catalogue and not with time.
    """

    encoder: TextEncoder
    path: Path

    @property
    def name(self) -> str:
        return self.encoder.name

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See TextEncoder."""
        keys = [self._key(text) for text in texts]
        known = self._known()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            log.info("texts_encoded", num_texts=len(missing), num_kept=len(texts) - len(missing))
            known.update(zip(missing, self.encoder.encode(list(missing.values())), strict=True))
        used = {key: known[key] for key in keys}
        if missing or len(used) < len(known):
            self._keep(used)
        return np.stack([used[key] for key in keys]) if keys else np.empty((0, 0), np.float32)

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(f"{self.name}\n{text}".encode(), digest_size=HASH_BYTES).digest()

    def _known(self) -> dict[bytes, npt.NDArray[np.float32]]:
        """What the file holds; nothing where there is none, or a broken one."""
        try:
            kept = load_file(self.path)
            return {key.tobytes(): vector for key, vector in zip(kept["keys"], kept["vectors"], strict=True)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("kept_vectors_unreadable", path=str(self.path), error=str(error))
            return {}

    def _keep(self, used: dict[bytes, npt.NDArray[np.float32]]) -> None:
        """Atomically; that it cannot be kept costs the next night minutes, and this one nothing."""
        if not used:
            return
        keys = np.frombuffer(b"".join(used), np.uint8).reshape(-1, HASH_BYTES)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"keys": keys.copy(), "vectors": np.stack(list(used.values()))}, part)
            part.replace(self.path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            log.warning("vectors_not_kept", path=str(self.path), error=str(error))
