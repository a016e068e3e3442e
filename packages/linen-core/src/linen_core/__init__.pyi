"""The public names of Linen, each listed here alone.

Type checkers read this file, and so does `_lazy_names.py`, which imports a name from the module given here when it is
first used. A new layer needs one line.
"""

# Modules
from linen_core.module import (
    InterceptorContext as InterceptorContext,
    Module as Module,
    SetupState as SetupState,
    Touched as Touched,
    Variable as Variable,
    apply as apply,
    compact as compact,
    compact_name_scope as compact_name_scope,
    disable_named_call as disable_named_call,
    enable_named_call as enable_named_call,
    init as init,
    init_with_output as init_with_output,
    intercept_methods as intercept_methods,
    merge_param as merge_param,
    nowrap as nowrap,
    override_named_call as override_named_call,
    share_scope as share_scope,
    touched as touched,
)

# Variables and where they are kept
from linen_core.filters import DenyList as DenyList
from linen_core.scope import Scope as Scope
from linen_core.store import (
    MemoryStore as MemoryStore,
    StoreCapabilities as StoreCapabilities,
    VariableStore as VariableStore,
    as_store as as_store,
    default_store as default_store,
    registered_stores as registered_stores,
    store_class as store_class,
)

# Partitioned variables
from linen_core.meta import (
    PARTITION_NAME as PARTITION_NAME,
    Partitioned as Partitioned,
    get_partition_spec as get_partition_spec,
    get_sharding as get_sharding,
    unbox as unbox,
    with_partitioning as with_partitioning,
)

# Layers and functions between them
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

# Transforms
from linen_core.transforms import (
    add_metadata_axis as add_metadata_axis,
    broadcast as broadcast,
    checkpoint as checkpoint,
    cond as cond,
    custom_vjp as custom_vjp,
    fold_rngs as fold_rngs,
    grad as grad,
    jit as jit,
    jvp as jvp,
    map_variables as map_variables,
    named_call as named_call,
    remat as remat,
    remat_scan as remat_scan,
    scan as scan,
    switch as switch,
    value_and_grad as value_and_grad,
    vjp as vjp,
    vmap as vmap,
    while_loop as while_loop,
)

# Sharding
from linen_core.spmd import (
    LogicallyPartitioned as LogicallyPartitioned,
    get_logical_axis_rules as get_logical_axis_rules,
    logical_axis_rules as logical_axis_rules,
    logical_to_mesh as logical_to_mesh,
    logical_to_mesh_axes as logical_to_mesh_axes,
    logical_to_mesh_sharding as logical_to_mesh_sharding,
    set_logical_axis_rules as set_logical_axis_rules,
    with_logical_constraint as with_logical_constraint,
    with_logical_partitioning as with_logical_partitioning,
)

# Parts by name
from linen_core import (
    errors as errors,
    filters as filters,
    meta as meta,
    module as module,
    rng as rng,
    scope as scope,
    spmd as spmd,
    struct as struct,
    traceback_util as traceback_util,
    train_state as train_state,
    transforms as transforms,
    traverse_util as traverse_util,
    typing as typing,
)

# Parts by name, under the paths that programs know from flax
from linen_core.layers import (
    activation as activation,
    attention as attention,
    batch_apply as batch_apply,
    combinators as combinators,
    dtypes as dtypes,
    fp8_ops as fp8_ops,
    initializers as initializers,
    linear as linear,
    normalization as normalization,
    pooling as pooling,
    recurrent as recurrent,
    stochastic as stochastic,
)
from linen_core.spmd import partitioning as partitioning

# Sister packages, which need not be installed
import linen_summary
from linen_store import FrozenDict as FrozenDict
from linen_summary import tabulate as tabulate

summary = linen_summary
