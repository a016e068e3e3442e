from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Config:
    """Global hyperparameters, a static pytree that can be an argument of jit."""

    vocab: int = struct.field(default=32, pytree_node=False)
    emb: int = struct.field(default=16, pytree_node=False)
    heads: int = struct.field(default=2, pytree_node=False)
    head_dim: int = struct.field(default=8, pytree_node=False)
    mlp: int = struct.field(default=32, pytree_node=False)
    layers: int = struct.field(default=3, pytree_node=False)
    max_len: int = struct.field(default=16, pytree_node=False)
    mlp_activations: tuple[str, ...] = struct.field(default=("gelu", "linear"), pytree_node=False)
    dropout: float = struct.field(default=0.1, pytree_node=False)
    remat: str = struct.field(default="minimal", pytree_node=False)
    scan: bool = struct.field(default=True, pytree_node=False)
    dtype: Any = struct.field(default=jnp.float16, pytree_node=False)

    batch: int = struct.field(default=4, pytree_node=False)
    steps: int = struct.field(default=6, pytree_node=False)
    learning_rate: float = struct.field(default=1e-2, pytree_node=False)
    weight_decay: float = struct.field(default=0.1, pytree_node=False)
    frozen: tuple[str, ...] = struct.field(default=("pos_embed",), pytree_node=False)
    mesh_shape: tuple[int, int] = struct.field(default=(1, 2), pytree_node=False)
    rules: tuple[tuple[str, str | None], ...] = struct.field(
        default=(
            ("batch", "data"),
            ("vocab", "model"),
            ("mlp", "model"),
            ("heads", "model"),
            ("embed", None),
            ("kv", None),
            ("layers", None),
            ("length", None),
        ),
        pytree_node=False,
    )
