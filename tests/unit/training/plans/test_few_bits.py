"""Matrices in few bits: what the runtime computes is what the layout says, and a batch changes nobody's answer."""

from typing import Literal

import numpy as np
import onnxruntime
import pytest

from services.domain.history_input import NUM_GAP_ROWS
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.plans.few_bits import BLOCK, in_few_bits, quantised

Bits = Literal[4, 8]


@pytest.mark.parametrize("bits", [4, 8])
def test_every_weight_is_off_by_half_a_step_at_most(bits: Bits) -> None:
    weight = np.random.default_rng(0).normal(size=(BLOCK + 16, 5)).astype(np.float32)  # the second block is not full
    packed, scales = quantised(weight, bits)
    assert packed.shape == (5, 2, BLOCK * bits // 8)
    values = packed if bits == 8 else np.stack((packed & 15, packed >> 4), axis=-1).reshape(5, 2, BLOCK)
    back = (values.astype(np.float32) - 2 ** (bits - 1)) * scales.reshape(5, 2, 1)
    off = np.abs(back.reshape(5, -1)[:, : BLOCK + 16].T - weight)
    steps = np.repeat(scales.reshape(5, 2), BLOCK, axis=1)[:, : BLOCK + 16].T
    assert (off <= steps / 2 + 1e-6).all()


def test_a_block_of_zeros_stays_zero() -> None:
    packed, scales = quantised(np.zeros((BLOCK, 1), np.float32), 8)
    assert (packed == 128).all()
    assert not scales.any()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_history_gets_the_same_alone_and_in_a_batch(fitted: SequenceEncoder, bits: Bits) -> None:
    """Law 2: who is encoded beside it is nobody's business."""
    graph = in_few_bits(fitted.encoder_onnx(), bits)
    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feeds = {
        "items": random.integers(1, 20, (6, 9)),
        "event_types": random.integers(1, 5, (6, 9)),
        "gaps": random.integers(NUM_GAP_ROWS, size=(6, 9)),
    }
    (together,) = session.run(["user_vectors"], feeds)
    alone = [session.run(["user_vectors"], {name: rows[[n]] for name, rows in feeds.items()})[0][0] for n in range(6)]
    assert np.abs(np.stack(alone) - together).max() < 1e-6
    (plain,) = onnxruntime.InferenceSession(fitted.encoder_onnx(), options).run(["user_vectors"], feeds)
    assert 0 < np.abs(together - plain).max() < (0.5 if bits == 4 else 0.05)
