"""Texts become vectors by an encoder in real files, and are not read again from night to night."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.adapters.kept_vectors import KeptTextEncoder
from services.adapters.sentence_encoder import OnnxSentenceEncoder
from services.domain.errors import InvalidSettings
from tests.fakes.tiny_sentence_encoder import write_encoder

WORDS = {"red": [1.0, 0.0, 0.0], "shoe": [0.0, 1.0, 0.0], "boot": [0.0, 0.9, 0.1], "hose": [0.0, 0.0, 1.0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_encoder(tmp_path / "encoder", WORDS)
    return tmp_path / "encoder"


def test_texts_are_near_where_their_words_are_and_of_length_1(folder: Path) -> None:
    shoe, boot, hose = OnnxSentenceEncoder(folder).encode(["red shoe", "red boot", "hose"])
    assert shoe @ boot > 0.95 > shoe @ hose
    assert np.linalg.norm([shoe, boot, hose], axis=1) == pytest.approx(1.0)


def test_what_shares_its_batch_changes_nothing(folder: Path) -> None:
    """Shorter texts are padded, more than a batch are several, and answers come in the order of the questions."""
    encoder = OnnxSentenceEncoder(folder)
    texts = [" ".join(["red"] * (number % 5 + 1) + ["hose"]) for number in range(150)]
    together, alone = encoder.encode(texts), np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_text_of_unknown_words_has_no_direction(folder: Path) -> None:
    assert not OnnxSentenceEncoder(folder).encode(["xyzzy"]).any()


def test_no_texts_are_no_vectors(folder: Path) -> None:
    assert len(OnnxSentenceEncoder(folder).encode([])) == 0


def test_a_folder_without_an_encoder_says_what_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"tokenizer\.json"):
        OnnxSentenceEncoder(tmp_path)


@pytest.mark.parametrize("broken", ["model.onnx", "tokenizer.json"])
def test_files_that_are_none_are_refused_by_name(folder: Path, broken: str) -> None:
    (folder / broken).write_bytes(b"nothing")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        OnnxSentenceEncoder(folder)


class Counting:
    """Knows how many letters a text has, and what it was asked."""

    def __init__(self, name: str = "first") -> None:
        self.name = name
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_a_text_is_read_once_and_forgotten_when_it_is_gone(tmp_path: Path) -> None:
    path, nights = tmp_path / "run" / "texts.safetensors", [Counting() for _ in range(4)]
    first, second, third, fourth = (KeptTextEncoder(each, path) for each in nights)
    assert first.encode(["a", "bb"]).tolist() == [[1, 1], [2, 1]]
    assert second.encode(["bb", "ccc", "bb"]).tolist() == [[2, 1], [3, 1], [2, 1]]
    third.encode(["bb"])
    fourth.encode(["ccc", "a", "bb"])
    assert [each.asked for each in nights] == [["a", "bb"], ["ccc"], [], ["ccc", "a"]]


def test_another_encoder_reads_everything_anew(tmp_path: Path) -> None:
    other = Counting("second")
    KeptTextEncoder(Counting(), tmp_path / "texts").encode(["a"])
    KeptTextEncoder(other, tmp_path / "texts").encode(["a"])
    assert other.asked == ["a"]


def test_a_broken_file_costs_time_alone(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    path.write_bytes(b"half a file")
    assert KeptTextEncoder(Counting(), path).encode(["a"]).tolist() == [[1, 1]]
    again = Counting()
    KeptTextEncoder(again, path).encode(["a"])
    assert again.asked == []


def test_vectors_that_cannot_be_kept_are_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert KeptTextEncoder(Counting(), tmp_path / "file" / "texts").encode(["a"]).tolist() == [[1, 1]]
