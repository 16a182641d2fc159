"""The network of the sequence encoder: a causal transformer over a user's events, and nothing of how it is trained.

Pre-norm blocks of attention with rotary positions (Su et al., arXiv 2104.09864) and a gated feed-forward layer (SwiGLU,
Shazeer, arXiv 2002.05202); item vectors are tied between input and output. Biases are left out throughout.
`export.py` writes the same computation as ONNX; a change here is a change there, and the export compares the two.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.domain.history_input import NUM_GAP_ROWS


@dataclass(frozen=True, slots=True)
class NetworkShape:
    num_items: int
    num_types: int
    dim: int
    num_blocks: int
    num_heads: int
    max_history: int

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def hidden_dim(self) -> int:
        """Width of the gated layer: 8/3 of dim, so that it costs as much as the usual plain one of 4 x dim."""
        return -(-self.dim * 8 // 3 // 8) * 8


class EncoderNetwork(nn.Module):
    """Maps item, event-type and gap rows, all int64 (batch, length), to user vectors (batch, length, dim).

    Position p's vector knows the events up to and including p. Row 0 pads on the right: no earlier position sees it.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: NetworkShape, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.items = nn.Embedding(shape.num_items + 1, shape.dim, padding_idx=0)
        self.types = nn.Embedding(shape.num_types + 1, shape.dim, padding_idx=0)
        self.gaps = nn.Embedding(NUM_GAP_ROWS, shape.dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.num_blocks))
        self.norm = nn.LayerNorm(shape.dim, bias=False)
        cos, sin = rotary_tables(shape.max_history, shape.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for table in (self.items, self.types):
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
            nn.init.zeros_(table.weight[0])
        nn.init.zeros_(self.gaps.weight)

    def forward(self, items: Tensor, types: Tensor, gaps: Tensor) -> Tensor:
        length = items.shape[1]
        x: Tensor = self.dropout(self.items(items) + self.types(types) + self.gaps(gaps))  # (batch, length, dim)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        normed: Tensor = self.norm(x)
        return normed


EMBEDDING_STD = 0.02  # larger: the softmax starts out confident and wrong; smaller: the first epochs move little


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
