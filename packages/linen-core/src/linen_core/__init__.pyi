"""The public names of Linen, grouped; those of the layers are in `layers/__init__.pyi`.

Type checkers read this file, and so does `_lazy_names.py`, which imports a name from the module given here when it is
first used. A layer or a transform is listed nowhere else.
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
from linen_core.layers import *

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
    axes_scan as axes_scan,
    configurations as configurations,
    cursor as cursor,
    errors as errors,
    filters as filters,
    ids as ids,
    jax_utils as jax_utils,
    kw_only_dataclasses as kw_only_dataclasses,
    lift as lift,
    meta as meta,
    module as module,
    rng as rng,
    scope as scope,
    scope_layers as scope_layers,
    spmd as spmd,
    struct as struct,
    traceback_util as traceback_util,
    tracers as tracers,
    train_state as train_state,
    training as training,
    transforms as transforms,
    traverse_util as traverse_util,
    typing as typing,
)
from linen_core.configurations import config as config

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
