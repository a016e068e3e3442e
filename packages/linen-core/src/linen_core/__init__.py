"""Linen: the Module system for JAX.

Import it as `import linen_core as nn`. What a user may rely on stands here, and nothing is defined here.
"""

# Modules
# Parts by name
from linen_core import errors as errors
from linen_core import meta as meta
from linen_core import module as module
from linen_core import scope as scope
from linen_core import struct as struct
from linen_core import traceback_util as traceback_util
from linen_core import train_state as train_state
from linen_core import traverse_util as traverse_util
from linen_core import typing as typing

# Names of the sister packages, found when they are first used
from linen_core._doorways import __getattr__ as __getattr__

# Variables and where they are kept
from linen_core.filters import DenyList as DenyList

# Layers, and the functions between them
from linen_core.layers import BatchNorm as BatchNorm
from linen_core.layers import Conv as Conv
from linen_core.layers import ConvLocal as ConvLocal
from linen_core.layers import ConvTranspose as ConvTranspose
from linen_core.layers import Dense as Dense
from linen_core.layers import DenseGeneral as DenseGeneral
from linen_core.layers import Dropout as Dropout
from linen_core.layers import Einsum as Einsum
from linen_core.layers import Embed as Embed
from linen_core.layers import GroupNorm as GroupNorm
from linen_core.layers import InstanceNorm as InstanceNorm
from linen_core.layers import LayerNorm as LayerNorm
from linen_core.layers import PReLU as PReLU
from linen_core.layers import RMSNorm as RMSNorm
from linen_core.layers import activation as activation
from linen_core.layers import avg_pool as avg_pool
from linen_core.layers import canonicalize_dtype as canonicalize_dtype
from linen_core.layers import celu as celu
from linen_core.layers import dtypes as dtypes
from linen_core.layers import elu as elu
from linen_core.layers import gelu as gelu
from linen_core.layers import glu as glu
from linen_core.layers import hard_sigmoid as hard_sigmoid
from linen_core.layers import hard_silu as hard_silu
from linen_core.layers import hard_swish as hard_swish
from linen_core.layers import hard_tanh as hard_tanh
from linen_core.layers import initializers as initializers
from linen_core.layers import leaky_relu as leaky_relu
from linen_core.layers import linear as linear
from linen_core.layers import log_sigmoid as log_sigmoid
from linen_core.layers import log_softmax as log_softmax
from linen_core.layers import logsumexp as logsumexp
from linen_core.layers import max_pool as max_pool
from linen_core.layers import min_pool as min_pool
from linen_core.layers import normalization as normalization
from linen_core.layers import normalize as normalize
from linen_core.layers import one_hot as one_hot
from linen_core.layers import ones as ones
from linen_core.layers import ones_init as ones_init
from linen_core.layers import pool as pool
from linen_core.layers import pooling as pooling
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
from linen_core.layers import stochastic as stochastic
from linen_core.layers import swish as swish
from linen_core.layers import tanh as tanh
from linen_core.layers import zeros as zeros
from linen_core.layers import zeros_init as zeros_init

# Metadata of variables
from linen_core.meta import PARTITION_NAME as PARTITION_NAME
from linen_core.meta import Partitioned as Partitioned
from linen_core.meta import get_partition_spec as get_partition_spec
from linen_core.meta import get_sharding as get_sharding
from linen_core.meta import unbox as unbox
from linen_core.meta import with_partitioning as with_partitioning
from linen_core.module import InterceptorContext as InterceptorContext
from linen_core.module import Module as Module
from linen_core.module import Touched as Touched
from linen_core.module import Variable as Variable
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
from linen_core.scope import Scope as Scope
from linen_core.store import MemoryStore as MemoryStore
from linen_core.store import StoreCapabilities as StoreCapabilities
from linen_core.store import VariableStore as VariableStore
from linen_core.store import as_store as as_store
from linen_core.store import default_store as default_store
from linen_core.store import registered_stores as registered_stores
from linen_core.store import store_class as store_class

__all__ = [
    "PARTITION_NAME",
    "BatchNorm",
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "DenyList",
    "Dropout",
    "Einsum",
    "Embed",
    "GroupNorm",
    "InstanceNorm",
    "InterceptorContext",
    "LayerNorm",
    "MemoryStore",
    "Module",
    "PReLU",
    "Partitioned",
    "RMSNorm",
    "Scope",
    "StoreCapabilities",
    "Touched",
    "Variable",
    "VariableStore",
    "activation",
    "apply",
    "as_store",
    "avg_pool",
    "canonicalize_dtype",
    "celu",
    "compact",
    "compact_name_scope",
    "default_store",
    "disable_named_call",
    "dtypes",
    "elu",
    "enable_named_call",
    "errors",
    "gelu",
    "get_partition_spec",
    "get_sharding",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "init",
    "init_with_output",
    "initializers",
    "intercept_methods",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "merge_param",
    "meta",
    "min_pool",
    "module",
    "normalization",
    "normalize",
    "nowrap",
    "one_hot",
    "ones",
    "ones_init",
    "override_named_call",
    "pool",
    "pooling",
    "promote_dtype",
    "registered_stores",
    "relu",
    "relu6",
    "scope",
    "selu",
    "share_scope",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "standardize",
    "stochastic",
    "store_class",
    "struct",
    "swish",
    "tanh",
    "touched",
    "traceback_util",
    "train_state",
    "traverse_util",
    "typing",
    "unbox",
    "with_partitioning",
    "zeros",
    "zeros_init",
]
