"""Where the names of this folder are, so that a program loads the layers it uses and no others.

Making a module class takes Python most of a millisecond; all of them together would take more than all the rest of
`import linen_core`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["FILES", "HOMES"]

_NAMES = {
    "activation": (
        "PReLU",
        "celu",
        "elu",
        "gelu",
        "glu",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "log_sigmoid",
        "log_softmax",
        "logsumexp",
        "normalize",
        "one_hot",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_sign",
        "softmax",
        "softplus",
        "standardize",
        "swish",
        "tanh",
    ),
    "attention": (
        "MultiHeadAttention",
        "MultiHeadDotProductAttention",
        "SelfAttention",
        "combine_masks",
        "dot_product_attention",
        "dot_product_attention_weights",
        "make_attention_mask",
        "make_causal_mask",
    ),
    "batch_apply": ("BatchApply",),
    "batch_norm": ("BatchNorm",),
    "combinators": ("Sequential",),
    "conv": ("Conv", "ConvLocal"),
    "conv_transpose": ("ConvTranspose",),
    "dense": ("Dense", "DenseGeneral", "Einsum"),
    "dtypes": ("canonicalize_dtype", "promote_dtype"),
    "embed": ("Embed",),
    "fp8_ops": (
        "Fp8DirectDotGeneralOp",
        "Fp8DotGeneral",
        "Fp8DotGeneralOp",
        "Fp8Einsum",
        "NANOOFp8DotGeneralOp",
    ),
    "gated_cells": ("GRUCell", "MGUCell", "SimpleCell"),
    "initializers": ("ones", "ones_init", "zeros", "zeros_init"),
    "lstm_cells": ("ConvLSTMCell", "LSTMCell", "OptimizedLSTMCell"),
    "normalization": ("GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"),
    "pooling": ("avg_pool", "max_pool", "min_pool", "pool"),
    "recurrent": ("Bidirectional", "RNN"),
    "recurrent_base": ("RNNCellBase",),
    "stochastic": ("Dropout",),
    "weight_norm": ("SpectralNorm", "WeightNorm"),
}

HOMES = {name: file for file, names in _NAMES.items() for name in names}
"""The file of each name."""

FILES = frozenset(_NAMES) | {"linear"}
"""The files that can be had as attributes."""


def __getattr__(name: str) -> Any:
    """Import the file that has a name, and return what it has, or the file itself.

    Raises:
      AttributeError: no file has it.
    """
    if name in HOMES:
        value = getattr(importlib.import_module(f"linen_core.layers.{HOMES[name]}"), name)
        setattr(sys.modules["linen_core.layers"], name, value)  # found at once from now on
        return value
    if name in FILES:
        return importlib.import_module(f"linen_core.layers.{name}")
    msg = f"module 'linen_core.layers' has no attribute {name!r}"
    raise AttributeError(msg, name=name)


def __dir__() -> list[str]:
    """List the names of all files."""
    return sorted([*HOMES, *FILES])
