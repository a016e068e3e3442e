"""The modules of flax and the modules of Linen that have their names.

`MODULES` is the list of modules. Whether a single name has a counterpart is asked of the modules themselves; `NAMES`
has the exceptions.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "ADVICE",
    "INTERNAL",
    "MODULES",
    "NAMES",
    "VERSION",
    "Counterpart",
    "advice_for",
    "counterpart",
]

VERSION = "0.12.8"
"""The version of flax whose names are listed."""

_LINEN_FILES = (
    "activation",
    "attention",
    "batch_apply",
    "combinators",
    "dtypes",
    "fp8_ops",
    "initializers",
    "kw_only_dataclasses",
    "linear",
    "module",
    "normalization",
    "partitioning",
    "pooling",
    "recurrent",
    "spmd",
    "stochastic",
    "transforms",
)

_SCOPE_FILES = ("attention", "linear", "normalization", "stochastic")

MODULES: Mapping[str, tuple[str, ...]] = {
    "flax": (),
    "flax.configurations": ("linen_core.configurations",),
    "flax.core": (
        "linen_store",
        "linen_core.scope",
        "linen_core.meta",
        "linen_core.lift",
        "linen_core.axes_scan",
        "linen_core.tracers",
        "linen_core.typing",
    ),
    "flax.core.axes_scan": ("linen_core.axes_scan",),
    "flax.core.frozen_dict": ("linen_store",),
    "flax.core.lift": ("linen_core.lift",),
    "flax.core.meta": ("linen_core.meta",),
    "flax.core.nn": ("linen_core.scope_layers",),
    **{f"flax.core.nn.{name}": (f"linen_core.scope_layers.{name}",) for name in _SCOPE_FILES},
    "flax.core.nn.activation": ("linen_core.activation",),
    "flax.core.nn.initializers": ("linen_core.initializers",),
    "flax.core.scope": ("linen_core.scope",),
    "flax.core.spmd": ("linen_core.spmd",),
    "flax.core.tracers": ("linen_core.tracers",),
    "flax.core.variables": ("linen_core.scope",),
    "flax.cursor": ("linen_core.cursor",),
    "flax.errors": ("linen_core.errors",),
    "flax.ids": ("linen_core.ids",),
    "flax.io": ("linen_store.io",),
    "flax.jax_utils": ("linen_core.jax_utils",),
    "flax.linen": ("linen_core",),
    **{f"flax.linen.{name}": (f"linen_core.{name}",) for name in _LINEN_FILES},
    "flax.linen.summary": ("linen_summary",),
    "flax.metrics": (),
    "flax.metrics.tensorboard": ("linen_summary.tensorboard",),
    "flax.serialization": ("linen_store.serialization",),
    "flax.struct": ("linen_core.struct",),
    "flax.traceback_util": ("linen_core.traceback_util",),
    "flax.training": (),
    "flax.training.checkpoints": ("linen_store.checkpoints",),
    "flax.training.common_utils": ("linen_core.training.common_utils",),
    "flax.training.dynamic_scale": ("linen_core.training.dynamic_scale",),
    "flax.training.early_stopping": ("linen_core.training.early_stopping",),
    "flax.training.lr_schedule": ("linen_core.training.lr_schedule",),
    "flax.training.orbax_utils": ("linen_store.orbax_utils",),
    "flax.training.prefetch_iterator": ("linen_core.training.prefetch_iterator",),
    "flax.training.train_state": ("linen_core.train_state",),
    "flax.traverse_util": ("linen_core.traverse_util",),
    "flax.typing": ("linen_core.typing",),
    "flax.version": (),
}
"""For each module of flax, the modules that have its names, in the order in which a name is looked up."""

_HOMES = {
    "linen_core": "merge_param canonicalize_dtype map_variables Conv Dense compact",
    "linen_core.dtypes": "canonicalize_dtype promote_dtype",
    "linen_core.errors": "TraverseTreeError",
    "linen_core.filters": "CollectionFilter DenyList PRNGSequenceFilter group_collections in_filter intersect_filters "
    "is_filter_empty subtract_filters union_filters",
    "linen_core.ids": "FlaxId uuid",
    "linen_core.module": "Module Variable wrap_method_once",
    "linen_core.rng": "LazyRng",
    "linen_core.scope": "Scope",
    "linen_core.typing": "FrozenVariableDict",
    "linen_store": "FrozenDict freeze unfreeze",
}
_BORROWED = {
    "flax.core.lift": "CollectionFilter DenyList LazyRng PRNGSequenceFilter Scope freeze group_collections "
    "in_filter intersect_filters is_filter_empty subtract_filters unfreeze union_filters",
    "flax.core.scope": "FrozenDict freeze unfreeze uuid",
    "flax.cursor": "FrozenDict TraverseTreeError",
    "flax.linen.module": "DenyList FlaxId FrozenDict FrozenVariableDict Scope union_filters uuid",
    "flax.linen.normalization": "canonicalize_dtype map_variables merge_param",
    "flax.linen.partitioning": "freeze unfreeze",
    "flax.linen.recurrent": "Conv Dense FrozenDict compact promote_dtype",
    "flax.linen.summary": "DenyList FrozenVariableDict LazyRng unfreeze",
    "flax.linen.transforms": "FlaxId FrozenDict LazyRng Module Scope Variable wrap_method_once",
    "flax.typing": "FrozenDict",
}

NAMES: Mapping[str, str] = {
    **{
        f"{module}.{name}": f"{home}.{name}"
        for module, borrowed in _BORROWED.items()
        for home, names in _HOMES.items()
        for name in sorted({*borrowed.split()} & {*names.split()})
    },
    "flax.config": "linen_core.configurations.config",
    "flax.core.scope.config": "linen_core.configurations.config",
    "flax.linen.module.config": "linen_core.configurations.config",
    "flax.linen.partitioning.get_axis_names": "linen_store.frozen.axis_names.get_axis_names",
    "flax.traceback_util.config": "linen_core.configurations.config",
}
"""Names whose counterpart has another name, or is in a module that does not answer all of its names.

Modules of flax also have the names that they import from each other, and programs use them.
"""

_ADVICE_FOR_NNX = (
    "Linen has the API of flax.linen. Keep flax for flax.nnx, or write the modules with linen_core."
)

ADVICE: Mapping[str, str] = {
    "flax.__version__": "Use importlib.metadata.version('linen-core').",
    "flax.core.partial_eval": "Use linen_core.Module.lazy_init or linen_core.scope.lazy_init.",
    "flax.core.spmd": "Only flax.nnx uses it. Use linen_core.spmd.",
    "flax.deprecated": "flax removed it. Write the model as a linen_core module.",
    "flax.experimental": _ADVICE_FOR_NNX,
    "flax.linen.experimental": "flax.linen has no public names there.",
    "flax.linen.module._tabulate_context": "Use linen_summary.summarize, which returns all calls as data.",
    "flax.linen.module._CallInfo": "Use linen_summary.summarize, which returns all calls as data.",
    "flax.linen.summary": "Use linen_summary.summarize, which returns the table as data.",
    "flax.nn": "flax removed it in 2021. Write the model as a linen_core module.",
    "flax.nnx": _ADVICE_FOR_NNX,
    "flax.optim": "flax removed it in 2022. Use optax.",
    "flax.oss": "flax has no public names there.",
    "flax.testing": "It has a benchmark class for the examples of flax. Use absl.testing and time.",
}
"""Advice for modules and names without a counterpart, by the longest prefix."""


INTERNAL: Mapping[str, str] = {
    "flax.configurations": "TYPE_CHECKING",
    "flax.core.frozen_dict": "FrozenKeysView FrozenValuesView",
    "flax.core.lift": "CountsHolder TransformContext fold_rngs id_fn set_from_dict swap_collection tree_map_rngs",
    "flax.core.scope": "child_rng_token no_flag",
    "flax.cursor": "AccessType Indexable ParentKey is_named_tuple",
    "flax.io": "gfile",
    "flax.linen.batch_apply": "arbitrary_mergeable_leaf merge_leading_dims ndim_at_least split_leading_dim",
    "flax.linen.fp8_ops": "CAN_USE_EARRAY Fp8MetaTyRules dot_general_transpose_lhs dot_general_transpose_rhs "
    "dot_general_with_precision_jvp fp8_meta_dtype fp8_meta_dtype_wrapper in_q_bwd in_q_fwd in_qdq_bwd in_qdq_fwd "
    "out_dq_bwd out_dq_fwd out_qdq_bwd out_qdq_fwd quantized_dot_bwd quantized_dot_fwd",
    "flax.linen.module": "CompactNameScope Descriptor DescriptorWrapper ModuleBase ParentDescriptor TestScope "
    "ThreadLocalStack capture_call_intermediates create_descriptor_wrapper module_field run_interceptors tuple_init "
    "tuple_reduce wrap_descriptor_once",
    "flax.linen.partitioning": "core_remat_static",
    "flax.linen.transforms": "InstancePlaceholder VariablePlaceholder clean_clone decorator_lift_transform "
    "decorator_lift_transform_cached fork_rngs get_module_scopes lift_direct_transform lift_transform_cached "
    "module_class_lift_transform module_class_lift_transform_cached set_module_scopes",
    "flax.training.checkpoints": "COMMIT_SUCCESS_FILE MP_ARRAY_PH MP_ARRAY_POSTFIX ORBAX_MANIFEST_OCDBT "
    "ORBAX_METADATA_FILENAME safe_normpath",
    "flax.typing": "BaseConfigContext HashableMapping Key MISSING Missing PytreeDeque ShapeDtype SizeBytes "
    "has_shape_dtype is_key_like",
}
"""For each module of flax, the names without an underscore that flax does not document and Linen does not have."""


class Counterpart(NamedTuple):
    """Where a name of flax is in Linen."""

    module: str
    """The module of Linen."""
    name: str | None
    """The name in it; None for the module itself."""

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"

    def load(self) -> object:
        """Import the module and return the object."""
        module = importlib.import_module(self.module)
        return module if self.name is None else getattr(module, self.name)


def counterpart(dotted: str) -> Counterpart | None:
    """Find the counterpart of a name of flax.

    Args:
      dotted: a module, or a name in one, for example ``"flax.linen.Dense"``.

    Returns:
      The counterpart; None if there is none, or if a module has several.

    Example:
      >>> str(counterpart("flax.training.train_state.TrainState"))
      'linen_core.train_state.TrainState'
      >>> counterpart("flax.nnx.Module") is None
      True
    """
    if len(MODULES.get(dotted, ())) == 1:
        return Counterpart(MODULES[dotted][0], None)
    if dotted in NAMES:
        return Counterpart(*NAMES[dotted].rsplit(".", 1))
    module, _, name = dotted.rpartition(".")
    for target in MODULES.get(module, ()):
        found = importlib.import_module(target)
        # Private names of Linen mean other things than those of flax, unless they are listed.
        is_private = name.startswith("_") and name not in getattr(found, "__all__", ())
        if not is_private and hasattr(found, name):
            return Counterpart(target, name)
    return None


def advice_for(dotted: str) -> str:
    """Say what a user does about a name that has no counterpart.

    Example:
      >>> advice_for("flax.optim.Adam")
      'flax removed it in 2022. Use optax.'
    """
    if len(modules := MODULES.get(dotted, ())) > 1:
        return f"Use the one of {', '.join(modules)} that has the name."
    prefix = dotted
    while prefix:
        if prefix in ADVICE:
            return ADVICE[prefix]
        prefix = prefix.rpartition(".")[0]
    module, _, name = dotted.rpartition(".")
    if name.startswith("_") or name in INTERNAL.get(module, "").split():
        return "It is internal to flax. Use the public names."
    return f"Check the spelling: Linen answers the public names of flax {VERSION}."
