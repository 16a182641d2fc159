"""An encoder's matrices in 8 or 4 bits, as ONNX Runtime's MatMulNBits reads them.

Only weights are rounded, each block of a column by a scale of its own. What a history gets thus does not depend on the
histories beside it in a batch, as it would with activations rounded by a scale for all of them (law 2, ADR 0038).
Source of the layout: ONNX Runtime's documentation of its operators, com.microsoft.MatMulNBits, version 1.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

BLOCK: Final = 32  # larger: coarser scales; smaller: not supported below 16, and more scales to read
FLOATS: Final = 1  # accuracy level: products are of float32, so that activations are not rounded
DOMAIN: Final = "com.microsoft"


def in_few_bits(graph: bytes, bits: Literal[4, 8]) -> bytes:
    """The same graph with every product by a constant matrix in so many bits; embeddings and norms stay float32."""
    model = onnx.load_from_string(graph)
    weights = {each.name: each for each in model.graph.initializer}
    rounded: set[str] = set()
    nodes = []
    for node in model.graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None:
            nodes.append(node)
            continue
        packed, scales = quantised(numpy_helper.to_array(weight), bits)
        names = [f"{weight.name}_packed", f"{weight.name}_scales"]
        if weight.name not in rounded:
            arrays: list[npt.NDArray[Any]] = [packed, scales]
            model.graph.initializer.extend(
                numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)
            )
            rounded.add(weight.name)
        inner, outer = weight.dims
        nodes.append(_few_bits_node(node, names, (inner, outer), bits))
    kept = [_copied(each) for each in model.graph.initializer if each.name not in rounded]
    nodes = [_copied(each) for each in nodes]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    written: bytes = model.SerializeToString()
    return written


def _few_bits_node(
    node: onnx.NodeProto, names: Sequence[str], shape: tuple[int, int], bits: Literal[4, 8]
) -> onnx.NodeProto:
    sizes: dict[str, Any] = {
        "K": shape[0], "N": shape[1], "bits": bits, "block_size": BLOCK, "accuracy_level": FLOATS,
    }  # fmt: skip
    return helper.make_node("MatMulNBits", [node.input[0], *names], [*node.output], domain=DOMAIN, **sizes)


_Proto = TypeVar("_Proto", onnx.NodeProto, onnx.TensorProto)


def _copied(proto: _Proto) -> _Proto:
    """Its own memory, so that it outlives the list that it was in."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy


def quantised(
    weight: npt.NDArray[np.float32], bits: Literal[4, 8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """weight: (K, N). Returns (N, blocks, BLOCK * bits / 8), low half first, and the scales, (N * blocks,).

    A number is (q - 2^(bits-1)) * scale; the largest of a block becomes the end of the range.
    """
    inner, outer = weight.shape
    num_blocks = -(-inner // BLOCK)
    padded = np.zeros((outer, num_blocks * BLOCK), np.float32)
    padded[:, :inner] = weight.T
    blocks = padded.reshape(outer, num_blocks, BLOCK)
    middle = 1 << (bits - 1)
    scales = np.abs(blocks).max(axis=2, keepdims=True) / (middle - 1)
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales > 0)
    values = (np.rint(steps) + middle).astype(np.uint8)
    if bits == 4:
        values = values[:, :, 0::2] | (values[:, :, 1::2] << 4)
    return np.ascontiguousarray(values), scales.reshape(-1).astype(np.float32)
