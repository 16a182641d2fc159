"""A sentence encoder in ONNX, as such models are exported: a folder with `tokenizer.json` and `model.onnx`.

Nothing is fetched: whoever wants one puts it there. Source: Reimers & Gurevych, Sentence-BERT, EMNLP 2019.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from services.domain.bundles import sha256_of
from services.domain.errors import InvalidSettings, MissingDependency

Floats: TypeAlias = npt.NDArray[np.float32]

MAX_TOKENS: Final = 128  # larger: slower for what titles seldom have; smaller: descriptions are cut short
BATCH: Final = 64  # larger: more memory and padding; smaller: more calls
PLACES: Final = ("model.onnx", "onnx/model.onnx")


class OnnxSentenceEncoder:
    """Fulfils TextEncoder; texts of like length share a batch."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidSettings when there is no such encoder, MissingDependency without the `text` extra."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependency(
                f"Reading texts needs {error.name}; get it with `pip install 'nightjar-server[text]'`."
            ) from error
        model = next((folder / place for place in PLACES if (folder / place).is_file()), None)
        if model is None or not (folder / "tokenizer.json").is_file():
            raise InvalidSettings(
                f"NIGHTJAR_TRAIN__SENTENCE_ENCODER: {folder} must hold tokenizer.json and {' or '.join(PLACES)}, "
                "a sentence encoder exported to ONNX."
            )
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._session: Any = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InvalidSettings(
                f"NIGHTJAR_TRAIN__SENTENCE_ENCODER: what {folder} holds cannot be read: {error}"
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._inputs = {each.name for each in self._session.get_inputs()}
        self.name = sha256_of(model)[:16]

    def encode(self, texts: Sequence[str]) -> Floats:
        """See TextEncoder."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
        encoded = [self._encode([texts[place] for place in batch]) for batch in batches]
        vectors = np.empty((len(texts), encoded[0].shape[1] if encoded else 0), np.float32)
        for batch, of_batch in zip(batches, encoded, strict=True):
            vectors[batch] = of_batch
        return vectors

    def _encode(self, texts: Sequence[str]) -> Floats:
        tokens = self._tokenizer.encode_batch(list(texts))
        mask = np.array([each.attention_mask for each in tokens], np.int64)  # (batch, length)
        fed = {
            "input_ids": np.array([each.ids for each in tokens], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        outputs = self._session.run(None, {name: fed[name] for name in self._inputs})
        pooled = next((each for each in outputs if each.ndim == 2), None)  # what the model itself made of the sentence
        if pooled is None:
            of_tokens = outputs[0] * mask[:, :, np.newaxis]  # (batch, length, dim)
            pooled = of_tokens.sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        vectors: Floats = (pooled / np.maximum(lengths, 1e-12)).astype(np.float32)
        return vectors
