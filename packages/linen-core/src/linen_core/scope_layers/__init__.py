"""Layers as functions of a `Scope`, with the names of ``flax.core.nn``. Modules are in `linen_core.layers`."""

from linen_core.layers import activation as activation
from linen_core.layers import initializers as initializers
from linen_core.layers.activation import celu as celu
from linen_core.layers.activation import elu as elu
from linen_core.layers.activation import gelu as gelu
from linen_core.layers.activation import glu as glu
from linen_core.layers.activation import leaky_relu as leaky_relu
from linen_core.layers.activation import log_sigmoid as log_sigmoid
from linen_core.layers.activation import log_softmax as log_softmax
from linen_core.layers.activation import relu as relu
from linen_core.layers.activation import sigmoid as sigmoid
from linen_core.layers.activation import silu as silu
from linen_core.layers.activation import soft_sign as soft_sign
from linen_core.layers.activation import softmax as softmax
from linen_core.layers.activation import softplus as softplus
from linen_core.layers.activation import swish as swish
from linen_core.layers.activation import tanh as tanh
from linen_core.layers.pooling import avg_pool as avg_pool
from linen_core.layers.pooling import max_pool as max_pool
from linen_core.scope_layers.attention import (
    dot_product_attention as dot_product_attention,
)
from linen_core.scope_layers.attention import (
    multi_head_dot_product_attention as multi_head_dot_product_attention,
)
from linen_core.scope_layers.linear import Embedding as Embedding
from linen_core.scope_layers.linear import conv as conv
from linen_core.scope_layers.linear import conv_transpose as conv_transpose
from linen_core.scope_layers.linear import dense as dense
from linen_core.scope_layers.linear import dense_general as dense_general
from linen_core.scope_layers.linear import embedding as embedding
from linen_core.scope_layers.normalization import batch_norm as batch_norm
from linen_core.scope_layers.normalization import group_norm as group_norm
from linen_core.scope_layers.normalization import layer_norm as layer_norm
from linen_core.scope_layers.stochastic import dropout as dropout
