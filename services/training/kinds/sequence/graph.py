"""The encoder network as an ONNX graph, laid out operator by operator; ADR 0005 says why it is not traced.

It answers for the last position only, and expects no padding: serving encodes one history at a time, or several of one
length. So the last block makes a query of the last position alone, and keys and values of all.
Shapes in the comments: b batch, l length, q positions that ask (l, or 1 in the last block), d dim, h heads, k head_dim,
f hidden_dim.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from services.training.kinds.sequence.network import Block, EncoderNetwork

OPSET: Final = 18  # larger: runtimes of last year cannot load it; smaller: no LayerNormalization (17), Split (18)
MIN_LENGTH: Final = np.array(1e-12, np.float32)  # what torch divides by at least
IR_VERSION: Final = 10  # the file format that goes with it; newer ones are refused by older runtimes


def encoder_graph(network: EncoderNetwork, item_vectors: Tensor) -> onnx.ModelProto:
    """The whole model; inputs and output are those of `domain.bundles`. Checked by onnx before it is returned.

    item_vectors: (num_items + 1, dim), what `network.item_table()` gave.
    """
    shape, graph = network.shape, _Graph()
    length = graph.op("Shape", "items", start=1, end=2)  # (1,): l
    zero = graph.ints(0)  # where a slice starts, and along which axis
    positions = [graph.op("Slice", graph.weight(table), zero, length, zero) for table in (network.cos, network.sin)]
    future = np.triu(np.full((shape.max_history, shape.max_history), -np.inf, np.float32), 1)
    square = graph.op("Concat", length, length, axis=0)
    mask = graph.op("Slice", graph.constant(future), graph.ints(0, 0), square, graph.ints(0, 1))  # (l, l)

    items = graph.op("Gather", graph.weight(item_vectors), "items")
    x = graph.op("Add", items, graph.op("Gather", graph.weight(network.types.weight), "event_types"))  # (b, l, d)
    x = graph.op("Add", x, graph.op("Gather", graph.weight(network.gaps.weight), "gaps"))
    for block in network.blocks:
        assert isinstance(block, Block)  # noqa: S101 - ModuleList forgets the type
        x = _block(graph, block, x, positions, mask, last_only=block is network.blocks[-1])
    normed = _norm(graph, network.norm.weight, x)  # (b, 1, d)
    user_vectors = graph.op("Squeeze", normed, graph.ints(1))  # (b, d)
    lengths = graph.op("Max", graph.op("ReduceL2", user_vectors, graph.ints(1)), graph.constant(MIN_LENGTH))  # (b, 1)
    graph.op("Div", user_vectors, lengths, output="user_vectors")
    return graph.model(shape.dim)


def _block(graph: "_Graph", block: Block, x: str, positions: list[str], mask: str, *, last_only: bool) -> str:
    normed = _norm(graph, block.attention_norm.weight, x)
    weights = _array(block.qkv.weight)  # (3d, d): of query, key, value
    dim = block.num_heads * block.head_dim
    if last_only:
        key, value = _heads(graph, block, normed, weights[dim:])
        (query,) = _heads(graph, block, graph.last(normed, axis=1), weights[:dim])
        asking, x = [graph.last(table, axis=0) for table in positions], graph.last(x, axis=1)
    else:
        query, key, value = _heads(graph, block, normed, weights)
        asking = positions
    scale = graph.constant(np.array(block.head_dim**-0.5, np.float32))
    query, key = graph.op("Mul", _rotate(graph, query, asking), scale), _rotate(graph, key, positions)
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))  # (b, h, q, l)
    if not last_only:  # the last position may look at all
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)  # (b, h, q, k)
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))  # (b, q, d)
    x = graph.op("Add", x, graph.linear(joined, block.out.weight))
    widened = graph.linear(_norm(graph, block.gated_norm.weight, x), block.gate_up.weight)  # (b, q, 2f)
    gate, up = graph.split(widened, 2)
    swish = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    return graph.op("Add", x, graph.linear(graph.op("Mul", swish, up), block.down.weight))  # (b, q, d)


def _heads(graph: "_Graph", block: Block, x: str, weights: npt.NDArray[np.float32]) -> list[str]:
    """What so many stacked matrices, each (d, d), make of x, for each head: each (b, h, q, k)."""
    heads = graph.ints(0, 0, block.num_heads, block.head_dim)  # 0 keeps the input's size
    parts = graph.split(graph.linear(x, weights), len(weights) // weights.shape[1])
    return [graph.op("Transpose", graph.op("Reshape", part, heads), perm=[0, 2, 1, 3]) for part in parts]


def _rotate(graph: "_Graph", x: str, positions: list[str]) -> str:
    cos, sin = positions
    first, second = graph.split(x, 2)
    turned = (
        graph.op("Sub", graph.op("Mul", first, cos), graph.op("Mul", second, sin)),
        graph.op("Add", graph.op("Mul", first, sin), graph.op("Mul", second, cos)),
    )
    return graph.op("Concat", *turned, axis=-1)


def _norm(graph: "_Graph", weight: Any, x: str) -> str:
    return graph.op("LayerNormalization", x, graph.weight(weight), axis=-1, epsilon=1e-5)


class _Graph:
    """Collects nodes and constants; every method returns the name of what it made."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, parts: int) -> list[str]:
        """Equal parts along the last axis."""
        if parts == 1:
            return [x]
        outputs = [f"Split_{len(self._nodes)}_{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], outputs, axis=-1, num_outputs=parts))
        return outputs

    def last(self, x: str, axis: int) -> str:
        """The last entry along an axis, which stays with size 1."""
        return self.op("Slice", x, self.ints(-1), self.ints(np.iinfo(np.int64).max), self.ints(axis))

    def linear(self, x: str, weight: Any) -> str:
        """The product of x and the transposed weight, as torch's Linear does."""
        return self.op("MatMul", x, self.constant(np.ascontiguousarray(_array(weight).T)))

    def weight(self, tensor: Any) -> str:
        return self.constant(_array(tensor))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def constant(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def model(self, dim: int) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("items", "event_types", "gaps")
        ]
        output = helper.make_tensor_value_info("user_vectors", TensorProto.FLOAT, ["batch", dim])
        graph = helper.make_graph(self._nodes, "sequence_encoder", inputs, [output], self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="nightjar"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _array(tensor: Any) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy()
    return array
