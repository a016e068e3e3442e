"""The standard layers, the functions between them, and the initializers of their parameters.

A file of this folder is imported when a name of it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linen_core.layers.activation import PReLU as PReLU
    from linen_core.layers.activation import celu as celu
    from linen_core.layers.activation import elu as elu
    from linen_core.layers.activation import gelu as gelu
    from linen_core.layers.activation import glu as glu
    from linen_core.layers.activation import hard_sigmoid as hard_sigmoid
    from linen_core.layers.activation import hard_silu as hard_silu
    from linen_core.layers.activation import hard_swish as hard_swish
    from linen_core.layers.activation import hard_tanh as hard_tanh
    from linen_core.layers.activation import leaky_relu as leaky_relu
    from linen_core.layers.activation import log_sigmoid as log_sigmoid
    from linen_core.layers.activation import log_softmax as log_softmax
    from linen_core.layers.activation import logsumexp as logsumexp
    from linen_core.layers.activation import normalize as normalize
    from linen_core.layers.activation import one_hot as one_hot
    from linen_core.layers.activation import relu as relu
    from linen_core.layers.activation import relu6 as relu6
    from linen_core.layers.activation import selu as selu
    from linen_core.layers.activation import sigmoid as sigmoid
    from linen_core.layers.activation import silu as silu
    from linen_core.layers.activation import soft_sign as soft_sign
    from linen_core.layers.activation import softmax as softmax
    from linen_core.layers.activation import softplus as softplus
    from linen_core.layers.activation import standardize as standardize
    from linen_core.layers.activation import swish as swish
    from linen_core.layers.activation import tanh as tanh
    from linen_core.layers.attention import MultiHeadAttention as MultiHeadAttention
    from linen_core.layers.attention import (
        MultiHeadDotProductAttention as MultiHeadDotProductAttention,
    )
    from linen_core.layers.attention import SelfAttention as SelfAttention
    from linen_core.layers.attention import combine_masks as combine_masks
    from linen_core.layers.attention import dot_product_attention as dot_product_attention
    from linen_core.layers.attention import (
        dot_product_attention_weights as dot_product_attention_weights,
    )
    from linen_core.layers.attention import make_attention_mask as make_attention_mask
    from linen_core.layers.attention import make_causal_mask as make_causal_mask
    from linen_core.layers.batch_apply import BatchApply as BatchApply
    from linen_core.layers.batch_norm import BatchNorm as BatchNorm
    from linen_core.layers.combinators import Sequential as Sequential
    from linen_core.layers.conv import Conv as Conv
    from linen_core.layers.conv import ConvLocal as ConvLocal
    from linen_core.layers.conv_transpose import ConvTranspose as ConvTranspose
    from linen_core.layers.dense import Dense as Dense
    from linen_core.layers.dense import DenseGeneral as DenseGeneral
    from linen_core.layers.dense import Einsum as Einsum
    from linen_core.layers.dtypes import canonicalize_dtype as canonicalize_dtype
    from linen_core.layers.dtypes import promote_dtype as promote_dtype
    from linen_core.layers.embed import Embed as Embed
    from linen_core.layers.fp8_ops import Fp8DirectDotGeneralOp as Fp8DirectDotGeneralOp
    from linen_core.layers.fp8_ops import Fp8DotGeneral as Fp8DotGeneral
    from linen_core.layers.fp8_ops import Fp8DotGeneralOp as Fp8DotGeneralOp
    from linen_core.layers.fp8_ops import Fp8Einsum as Fp8Einsum
    from linen_core.layers.fp8_ops import NANOOFp8DotGeneralOp as NANOOFp8DotGeneralOp
    from linen_core.layers.gated_cells import GRUCell as GRUCell
    from linen_core.layers.gated_cells import MGUCell as MGUCell
    from linen_core.layers.gated_cells import SimpleCell as SimpleCell
    from linen_core.layers.initializers import ones as ones
    from linen_core.layers.initializers import ones_init as ones_init
    from linen_core.layers.initializers import zeros as zeros
    from linen_core.layers.initializers import zeros_init as zeros_init
    from linen_core.layers.lstm_cells import ConvLSTMCell as ConvLSTMCell
    from linen_core.layers.lstm_cells import LSTMCell as LSTMCell
    from linen_core.layers.lstm_cells import OptimizedLSTMCell as OptimizedLSTMCell
    from linen_core.layers.normalization import GroupNorm as GroupNorm
    from linen_core.layers.normalization import InstanceNorm as InstanceNorm
    from linen_core.layers.normalization import LayerNorm as LayerNorm
    from linen_core.layers.normalization import RMSNorm as RMSNorm
    from linen_core.layers.pooling import avg_pool as avg_pool
    from linen_core.layers.pooling import max_pool as max_pool
    from linen_core.layers.pooling import min_pool as min_pool
    from linen_core.layers.pooling import pool as pool
    from linen_core.layers.recurrent import RNN as RNN
    from linen_core.layers.recurrent import Bidirectional as Bidirectional
    from linen_core.layers.recurrent_base import RNNCellBase as RNNCellBase
    from linen_core.layers.stochastic import Dropout as Dropout
    from linen_core.layers.weight_norm import SpectralNorm as SpectralNorm
    from linen_core.layers.weight_norm import WeightNorm as WeightNorm
else:
    from linen_core.layers._lazy import __dir__ as __dir__
    from linen_core.layers._lazy import __getattr__ as __getattr__

__all__ = [
    "RNN",
    "BatchApply",
    "BatchNorm",
    "Bidirectional",
    "Conv",
    "ConvLSTMCell",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "Dropout",
    "Einsum",
    "Embed",
    "Fp8DirectDotGeneralOp",
    "Fp8DotGeneral",
    "Fp8DotGeneralOp",
    "Fp8Einsum",
    "GRUCell",
    "GroupNorm",
    "InstanceNorm",
    "LSTMCell",
    "LayerNorm",
    "MGUCell",
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "NANOOFp8DotGeneralOp",
    "OptimizedLSTMCell",
    "PReLU",
    "RMSNorm",
    "RNNCellBase",
    "SelfAttention",
    "Sequential",
    "SimpleCell",
    "SpectralNorm",
    "WeightNorm",
    "avg_pool",
    "canonicalize_dtype",
    "celu",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
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
    "make_attention_mask",
    "make_causal_mask",
    "max_pool",
    "min_pool",
    "normalize",
    "one_hot",
    "ones",
    "ones_init",
    "pool",
    "promote_dtype",
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
    "zeros",
    "zeros_init",
]
