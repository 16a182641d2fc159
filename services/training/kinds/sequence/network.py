"""The network of the sequence encoder: a causal transformer over a user's events, and nothing of how it is trained.

Pre-norm blocks of attention with rotary positions (Su et al., arXiv 2104.09864) and a gated feed-forward layer (SwiGLU,
Shazeer, arXiv 2002.05202). An item's vector is that of its id plus the mean of its features', of length 1, and the same
at the input and at the output; a user's vector is of length 1, too, so that a score is a cosine and popular items don't
win by their length alone. Biases are left out throughout. `graph.py` writes the same computation as ONNX; a change here
is a change there, and the export compares the two.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.domain.history_input import NUM_GAP_ROWS
from services.training.data.content import ItemContent
from services.training.kinds.sequence.batches import rounded


@dataclass(frozen=True, slots=True)
class NetworkShape:
    num_items: int
    num_types: int
    num_features: int
    dim: int
    num_blocks: int
    num_heads: int
    max_history: int
    text_dim: int = 0
    """Of the vectors of texts that items come with."""

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def hidden_dim(self) -> int:
        """Width of the gated layer: 8/3 of dim, so that it costs as much as the usual plain one of 4 x dim."""
        return -(-self.dim * 8 // 3 // 8) * 8


@dataclass(frozen=True, slots=True)
class Dropouts:
    """Probabilities while training."""

    inputs: float
    """Of a number of an input vector."""
    blocks: float
    """Of a number that a block adds."""


class ItemTable(nn.Module):
    """Item vectors from ids and content; row 0 pads."""

    features: Tensor
    starts: Tensor
    is_known: Tensor
    texts: Tensor

    def __init__(self, shape: NetworkShape, content: ItemContent) -> None:
        super().__init__()
        self.ids = nn.Embedding(shape.num_items + 1, shape.dim)
        self.content = nn.EmbeddingBag(shape.num_features + 1, shape.dim, mode="mean", include_last_offset=True)
        self.of_text = nn.Linear(shape.text_dim, shape.dim, bias=False) if shape.text_dim else None
        for table in (self.ids, self.content):
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
        if self.of_text is not None:
            nn.init.normal_(self.of_text.weight, std=EMBEDDING_STD)
            self.register_buffer("texts", functional.pad(torch.from_numpy(content.texts), (0, 0, 1, 0)))
        self.register_buffer("features", torch.from_numpy(content.features))
        self.register_buffer("starts", torch.from_numpy(content.starts))
        self.register_buffer("is_known", torch.ones(shape.num_items + 1, 1))

    def forward(self) -> Tensor:
        """All vectors, (num_items + 1, dim), of length 1; of an item that nobody chose, its content's alone."""
        ids = self.ids.weight * self.is_known
        if len(self.features):
            of_content = self.content(self.features, self.starts)  # (num_items, dim)
            ids = ids + functional.pad(of_content, (0, 0, 1, 0))
        if self.of_text is not None:
            ids = ids + self.of_text(self.texts)
        return functional.normalize(ids, dim=-1)

    def bags(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The features of some rows, one row's after the other's, (num_uses,), and where each row's start, (n + 1,)."""
        firsts, lasts = self.starts[(rows - 1).clamp(min=0)], self.starts[rows]  # row 0: 0 to 0
        starts = functional.pad((lasts - firsts).cumsum(0), (1, 0))
        shifts = torch.repeat_interleave(firsts - starts[:-1], lasts - firsts)
        return self.features[torch.arange(len(shifts), device=rows.device) + shifts], starts

    def of_some(self, rows: Tensor, ids: Tensor, bags: tuple[Tensor, Tensor], of_features: Tensor) -> Tensor:
        """What `forward` gives for some rows, (n, dim).

        ids: what stands in the table of ids there, (n, dim); bags: as above, of rows of `of_features`.
        """
        ids = ids * self.is_known[rows]
        if len(bags[0]):
            features, starts = bags
            ids = ids + functional.embedding_bag(features, of_features, starts, mode="mean", include_last_offset=True)
        if self.of_text is not None:
            ids = ids + self.of_text(self.texts[rows])
        return functional.normalize(ids, dim=-1)


EMBEDDING_STD = 0.02  # larger: vectors turn slowly; smaller: they turn with every batch


class EncoderNetwork(nn.Module):
    """Maps item, event-type and gap rows, all int64 (batch, length), to user vectors (batch, length, dim).

    Position p's vector knows the events up to and including p. Row 0 pads on the right: no earlier position sees it.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: NetworkShape, dropouts: Dropouts, content: ItemContent) -> None:
        super().__init__()
        self.shape = shape
        self.item_table = ItemTable(shape, content)
        self.types = nn.Embedding(shape.num_types + 1, shape.dim)
        self.gaps = nn.Embedding(NUM_GAP_ROWS, shape.dim)
        self.dropout = nn.Dropout(dropouts.inputs)
        self.blocks = nn.ModuleList(Block(shape, dropouts.blocks) for _ in range(shape.num_blocks))
        self.norm = nn.LayerNorm(shape.dim, bias=False)
        cos, sin = rotary_tables(rounded(shape.max_history), shape.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for table in (self.types, self.gaps):
            nn.init.zeros_(table.weight)

    def forward(self, item_vectors: Tensor, items: Tensor, types: Tensor, gaps: Tensor) -> Tensor:
        """item_vectors: what `item_table()` gave, (num_items + 1, dim); worked out once for input and output."""
        length = items.shape[1]
        x = functional.embedding(items, item_vectors) + self.types(types) + self.gaps(gaps)  # (batch, length, dim)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return functional.normalize(self.norm(x), dim=-1)


class Block(nn.Module):
    def __init__(self, shape: NetworkShape, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.head_dim = shape.num_heads, shape.head_dim
        self.dropout = nn.Dropout(dropout)
        self.attention_norm = nn.LayerNorm(shape.dim, bias=False)
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim, bias=False)
        self.out = nn.Linear(shape.dim, shape.dim, bias=False)
        self.gated_norm = nn.LayerNorm(shape.dim, bias=False)
        self.gate_up = nn.Linear(shape.dim, 2 * shape.hidden_dim, bias=False)
        self.down = nn.Linear(shape.hidden_dim, shape.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.dropout(self._attend(self.attention_norm(x), cos, sin))
        gate, up = self.gate_up(self.gated_norm(x)).chunk(2, dim=-1)  # each (batch, length, hidden)
        gated: Tensor = self.dropout(self.down(functional.silu(gate) * up))
        return x + gated

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, head_dim)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, cos, sin), rotate(key, cos, sin), value, is_causal=True
        )
        joined: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        return joined


def rotary_tables(max_length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, both float32 (max_length, head_dim / 2), of position times frequency."""
    frequencies = 10_000.0 ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(max_length, dtype=torch.float64), frequencies)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (i, i + head_dim / 2) of x, (batch, heads, length, head_dim), by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
