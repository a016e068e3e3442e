"""Linen: the Module system for JAX.

Import it as `import linen_core as nn`. What a user may rely on stands here, and nothing is defined here.
"""

from typing import TYPE_CHECKING

# Modules
from linen_core.module import InterceptorContext as InterceptorContext
from linen_core.module import Module as Module
from linen_core.module import SetupState as SetupState
from linen_core.module import Touched as Touched
from linen_core.module import Variable as Variable
from linen_core.module import _context as _context
from linen_core.module import apply as apply
from linen_core.module import compact as compact
from linen_core.module import compact_name_scope as compact_name_scope
from linen_core.module import disable_named_call as disable_named_call
from linen_core.module import enable_named_call as enable_named_call
from linen_core.module import init as init
from linen_core.module import init_with_output as init_with_output
from linen_core.module import intercept_methods as intercept_methods
from linen_core.module import merge_param as merge_param
from linen_core.module import nowrap as nowrap
from linen_core.module import override_named_call as override_named_call
from linen_core.module import share_scope as share_scope
from linen_core.module import touched as touched

# Variables and where they are kept
from linen_core.filters import DenyList as DenyList
from linen_core.scope import Scope as Scope
from linen_core.store import MemoryStore as MemoryStore
from linen_core.store import StoreCapabilities as StoreCapabilities
from linen_core.store import VariableStore as VariableStore
from linen_core.store import as_store as as_store
from linen_core.store import default_store as default_store
from linen_core.store import registered_stores as registered_stores
from linen_core.store import store_class as store_class

# Partitioned variables
from linen_core.meta import PARTITION_NAME as PARTITION_NAME
from linen_core.meta import Partitioned as Partitioned
from linen_core.meta import get_partition_spec as get_partition_spec
from linen_core.meta import get_sharding as get_sharding
from linen_core.meta import unbox as unbox
from linen_core.meta import with_partitioning as with_partitioning

# Parts by name
from linen_core import errors as errors
from linen_core import filters as filters
from linen_core import meta as meta
from linen_core import module as module
from linen_core import rng as rng
from linen_core import scope as scope
from linen_core import struct as struct
from linen_core import traceback_util as traceback_util
from linen_core import typing as typing

# Found when they are first used: what most programs use a few names of, and names of the sister packages
if TYPE_CHECKING:
    from linen_core import spmd as spmd
    from linen_core import train_state as train_state
    from linen_core import transforms as transforms
    from linen_core import traverse_util as traverse_util
    from linen_core._doorways import FrozenDict as FrozenDict
    from linen_core._doorways import summary as summary
    from linen_core._doorways import tabulate as tabulate
    from linen_core.layers import RNN as RNN
    from linen_core.layers import BatchApply as BatchApply
    from linen_core.layers import BatchNorm as BatchNorm
    from linen_core.layers import Bidirectional as Bidirectional
    from linen_core.layers import Conv as Conv
    from linen_core.layers import ConvLSTMCell as ConvLSTMCell
    from linen_core.layers import ConvLocal as ConvLocal
    from linen_core.layers import ConvTranspose as ConvTranspose
    from linen_core.layers import Dense as Dense
    from linen_core.layers import DenseGeneral as DenseGeneral
    from linen_core.layers import Dropout as Dropout
    from linen_core.layers import Einsum as Einsum
    from linen_core.layers import Embed as Embed
    from linen_core.layers import Fp8DirectDotGeneralOp as Fp8DirectDotGeneralOp
    from linen_core.layers import Fp8DotGeneral as Fp8DotGeneral
    from linen_core.layers import Fp8DotGeneralOp as Fp8DotGeneralOp
    from linen_core.layers import Fp8Einsum as Fp8Einsum
    from linen_core.layers import GRUCell as GRUCell
    from linen_core.layers import GroupNorm as GroupNorm
    from linen_core.layers import InstanceNorm as InstanceNorm
    from linen_core.layers import LSTMCell as LSTMCell
    from linen_core.layers import LayerNorm as LayerNorm
    from linen_core.layers import MGUCell as MGUCell
    from linen_core.layers import MultiHeadAttention as MultiHeadAttention
    from linen_core.layers import MultiHeadDotProductAttention as MultiHeadDotProductAttention
    from linen_core.layers import NANOOFp8DotGeneralOp as NANOOFp8DotGeneralOp
    from linen_core.layers import OptimizedLSTMCell as OptimizedLSTMCell
    from linen_core.layers import PReLU as PReLU
    from linen_core.layers import RMSNorm as RMSNorm
    from linen_core.layers import RNNCellBase as RNNCellBase
    from linen_core.layers import SelfAttention as SelfAttention
    from linen_core.layers import Sequential as Sequential
    from linen_core.layers import SimpleCell as SimpleCell
    from linen_core.layers import SpectralNorm as SpectralNorm
    from linen_core.layers import WeightNorm as WeightNorm
    from linen_core.layers import avg_pool as avg_pool
    from linen_core.layers import canonicalize_dtype as canonicalize_dtype
    from linen_core.layers import celu as celu
    from linen_core.layers import combine_masks as combine_masks
    from linen_core.layers import dot_product_attention as dot_product_attention
    from linen_core.layers import dot_product_attention_weights as dot_product_attention_weights
    from linen_core.layers import elu as elu
    from linen_core.layers import gelu as gelu
    from linen_core.layers import glu as glu
    from linen_core.layers import hard_sigmoid as hard_sigmoid
    from linen_core.layers import hard_silu as hard_silu
    from linen_core.layers import hard_swish as hard_swish
    from linen_core.layers import hard_tanh as hard_tanh
    from linen_core.layers import leaky_relu as leaky_relu
    from linen_core.layers import log_sigmoid as log_sigmoid
    from linen_core.layers import log_softmax as log_softmax
    from linen_core.layers import logsumexp as logsumexp
    from linen_core.layers import make_attention_mask as make_attention_mask
    from linen_core.layers import make_causal_mask as make_causal_mask
    from linen_core.layers import max_pool as max_pool
    from linen_core.layers import min_pool as min_pool
    from linen_core.layers import normalize as normalize
    from linen_core.layers import one_hot as one_hot
    from linen_core.layers import ones as ones
    from linen_core.layers import ones_init as ones_init
    from linen_core.layers import pool as pool
    from linen_core.layers import promote_dtype as promote_dtype
    from linen_core.layers import relu as relu
    from linen_core.layers import relu6 as relu6
    from linen_core.layers import selu as selu
    from linen_core.layers import sigmoid as sigmoid
    from linen_core.layers import silu as silu
    from linen_core.layers import soft_sign as soft_sign
    from linen_core.layers import softmax as softmax
    from linen_core.layers import softplus as softplus
    from linen_core.layers import standardize as standardize
    from linen_core.layers import swish as swish
    from linen_core.layers import tanh as tanh
    from linen_core.layers import zeros as zeros
    from linen_core.layers import zeros_init as zeros_init
    from linen_core.layers import activation as activation
    from linen_core.layers import attention as attention
    from linen_core.layers import batch_apply as batch_apply
    from linen_core.layers import combinators as combinators
    from linen_core.layers import dtypes as dtypes
    from linen_core.layers import fp8_ops as fp8_ops
    from linen_core.layers import initializers as initializers
    from linen_core.layers import linear as linear
    from linen_core.layers import normalization as normalization
    from linen_core.layers import pooling as pooling
    from linen_core.layers import recurrent as recurrent
    from linen_core.layers import stochastic as stochastic
    from linen_core.spmd import LogicallyPartitioned as LogicallyPartitioned
    from linen_core.spmd import get_logical_axis_rules as get_logical_axis_rules
    from linen_core.spmd import logical_axis_rules as logical_axis_rules
    from linen_core.spmd import logical_to_mesh as logical_to_mesh
    from linen_core.spmd import logical_to_mesh_axes as logical_to_mesh_axes
    from linen_core.spmd import logical_to_mesh_sharding as logical_to_mesh_sharding
    from linen_core.spmd import set_logical_axis_rules as set_logical_axis_rules
    from linen_core.spmd import with_logical_constraint as with_logical_constraint
    from linen_core.spmd import with_logical_partitioning as with_logical_partitioning
    from linen_core.spmd import partitioning as partitioning
    from linen_core.transforms import add_metadata_axis as add_metadata_axis
    from linen_core.transforms import broadcast as broadcast
    from linen_core.transforms import checkpoint as checkpoint
    from linen_core.transforms import cond as cond
    from linen_core.transforms import custom_vjp as custom_vjp
    from linen_core.transforms import fold_rngs as fold_rngs
    from linen_core.transforms import grad as grad
    from linen_core.transforms import jit as jit
    from linen_core.transforms import jvp as jvp
    from linen_core.transforms.map_variables import map_variables as map_variables
    from linen_core.transforms import named_call as named_call
    from linen_core.transforms import remat as remat
    from linen_core.transforms import remat_scan as remat_scan
    from linen_core.transforms import scan as scan
    from linen_core.transforms import switch as switch
    from linen_core.transforms import value_and_grad as value_and_grad
    from linen_core.transforms import vjp as vjp
    from linen_core.transforms import vmap as vmap
    from linen_core.transforms import while_loop as while_loop
else:
    from linen_core._doorways import __dir__ as __dir__
    from linen_core._doorways import __getattr__ as __getattr__

__all__ = [
    "PARTITION_NAME",
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
    "DenyList",
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
    "InterceptorContext",
    "LSTMCell",
    "LayerNorm",
    "LogicallyPartitioned",
    "MGUCell",
    "MemoryStore",
    "Module",
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "NANOOFp8DotGeneralOp",
    "OptimizedLSTMCell",
    "PReLU",
    "Partitioned",
    "RMSNorm",
    "RNNCellBase",
    "Scope",
    "SelfAttention",
    "Sequential",
    "SetupState",
    "SimpleCell",
    "SpectralNorm",
    "StoreCapabilities",
    "Touched",
    "Variable",
    "VariableStore",
    "WeightNorm",
    "_context",
    "activation",
    "add_metadata_axis",
    "apply",
    "as_store",
    "attention",
    "avg_pool",
    "batch_apply",
    "broadcast",
    "canonicalize_dtype",
    "celu",
    "checkpoint",
    "combinators",
    "combine_masks",
    "compact",
    "compact_name_scope",
    "cond",
    "custom_vjp",
    "default_store",
    "disable_named_call",
    "dot_product_attention",
    "dot_product_attention_weights",
    "dtypes",
    "elu",
    "enable_named_call",
    "errors",
    "filters",
    "fold_rngs",
    "fp8_ops",
    "gelu",
    "get_logical_axis_rules",
    "get_partition_spec",
    "get_sharding",
    "glu",
    "grad",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "init",
    "init_with_output",
    "initializers",
    "intercept_methods",
    "jit",
    "jvp",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logical_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "logical_to_mesh_sharding",
    "logsumexp",
    "make_attention_mask",
    "make_causal_mask",
    "map_variables",
    "max_pool",
    "merge_param",
    "meta",
    "min_pool",
    "module",
    "named_call",
    "normalization",
    "normalize",
    "nowrap",
    "one_hot",
    "ones",
    "ones_init",
    "override_named_call",
    "partitioning",
    "pool",
    "pooling",
    "promote_dtype",
    "recurrent",
    "registered_stores",
    "relu",
    "relu6",
    "remat",
    "remat_scan",
    "rng",
    "scan",
    "scope",
    "selu",
    "set_logical_axis_rules",
    "share_scope",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "spmd",
    "standardize",
    "stochastic",
    "store_class",
    "struct",
    "swish",
    "switch",
    "tanh",
    "touched",
    "traceback_util",
    "train_state",
    "transforms",
    "traverse_util",
    "typing",
    "unbox",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "with_logical_constraint",
    "with_logical_partitioning",
    "with_partitioning",
    "zeros",
    "zeros_init",
]
