"""The public names of the layers and the functions between them. A new layer needs one line.

Type checkers read this file, and so does `_lazy_names.py`, which imports a file when a name of it is first used.
"""

from linen_core.layers.activation import (
    PReLU as PReLU,
    celu as celu,
    elu as elu,
    gelu as gelu,
    glu as glu,
    hard_sigmoid as hard_sigmoid,
    hard_silu as hard_silu,
    hard_swish as hard_swish,
    hard_tanh as hard_tanh,
    leaky_relu as leaky_relu,
    log_sigmoid as log_sigmoid,
    log_softmax as log_softmax,
    logsumexp as logsumexp,
    normalize as normalize,
    one_hot as one_hot,
    relu as relu,
    relu6 as relu6,
    selu as selu,
    sigmoid as sigmoid,
    silu as silu,
    soft_sign as soft_sign,
    softmax as softmax,
    softplus as softplus,
    standardize as standardize,
    swish as swish,
    tanh as tanh,
)
from linen_core.layers.attention import (
    MultiHeadAttention as MultiHeadAttention,
    MultiHeadDotProductAttention as MultiHeadDotProductAttention,
    SelfAttention as SelfAttention,
    combine_masks as combine_masks,
    dot_product_attention as dot_product_attention,
    dot_product_attention_weights as dot_product_attention_weights,
    make_attention_mask as make_attention_mask,
    make_causal_mask as make_causal_mask,
)
from linen_core.layers.batch_apply import BatchApply as BatchApply
from linen_core.layers.batch_norm import BatchNorm as BatchNorm
from linen_core.layers.combinators import Sequential as Sequential
from linen_core.layers.conv import (
    Conv as Conv,
    ConvLocal as ConvLocal,
)
from linen_core.layers.conv_transpose import ConvTranspose as ConvTranspose
from linen_core.layers.dense import (
    Dense as Dense,
    DenseGeneral as DenseGeneral,
    Einsum as Einsum,
)
from linen_core.layers.dtypes import (
    canonicalize_dtype as canonicalize_dtype,
    promote_dtype as promote_dtype,
)
from linen_core.layers.embed import Embed as Embed
from linen_core.layers.fp8_ops import (
    Fp8DirectDotGeneralOp as Fp8DirectDotGeneralOp,
    Fp8DotGeneral as Fp8DotGeneral,
    Fp8DotGeneralOp as Fp8DotGeneralOp,
    Fp8Einsum as Fp8Einsum,
    NANOOFp8DotGeneralOp as NANOOFp8DotGeneralOp,
)
from linen_core.layers.gated_cells import (
    GRUCell as GRUCell,
    MGUCell as MGUCell,
    SimpleCell as SimpleCell,
)
from linen_core.layers.initializers import (
    ones as ones,
    ones_init as ones_init,
    zeros as zeros,
    zeros_init as zeros_init,
)
from linen_core.layers.lstm_cells import (
    ConvLSTMCell as ConvLSTMCell,
    LSTMCell as LSTMCell,
    OptimizedLSTMCell as OptimizedLSTMCell,
)
from linen_core.layers.normalization import (
    GroupNorm as GroupNorm,
    InstanceNorm as InstanceNorm,
    LayerNorm as LayerNorm,
    RMSNorm as RMSNorm,
)
from linen_core.layers.pooling import (
    avg_pool as avg_pool,
    max_pool as max_pool,
    min_pool as min_pool,
    pool as pool,
)
from linen_core.layers.recurrent import (
    Bidirectional as Bidirectional,
    RNN as RNN,
)
from linen_core.layers.recurrent_base import RNNCellBase as RNNCellBase
from linen_core.layers.stochastic import Dropout as Dropout
from linen_core.layers.weight_norm import (
    SpectralNorm as SpectralNorm,
    WeightNorm as WeightNorm,
)
